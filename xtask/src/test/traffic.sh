# Ordinary traffic, run with bash -eux beside a `ciro dev`: one good use of every operation.
ciro job run sleep 10 --quiet -o json > ended.json
