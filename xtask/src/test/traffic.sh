# Ordinary traffic beside a `ciro dev`, run with bash -eux: one good use of every operation that
# needs something to be there first. Every wait is that of a command, and bounded by it.

# Workers that are started here end with this script.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# A word of a JSON answer: `word id < file`.
word() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# A task that outlives a heartbeat, beside everything that follows.
long=$(ciro job submit sleep 13000 -o id)

# Artifacts: sent, asked for, read, given back.
printf 'to be or not to be\n%.0s' {1..2000} > words.txt
hash=$(ciro artifact put words.txt -o id)
ciro api HEAD "/v1/artifacts/$hash"
ciro artifact get "$hash" --output again.txt
cmp words.txt again.txt

# A job that is split, reduced, looked at from every side, and run again.
ciro job run wordcount --input words.txt --split lines:500 --quiet -o json > job.json
job=$(word id < job.json)
ciro api GET "/v1/jobs/$job"
ciro api GET "/v1/jobs/$job/status"
ciro api GET "/v1/jobs/$job/attempts"
ciro api GET "/v1/jobs/$job/events"
ciro api GET "/v1/jobs/$job/logs"
ciro api GET "/v1/jobs/$job/explain"
ciro api GET "/v1/jobs/$job/receipts"
ciro api GET "/v1/jobs/$job/result"
ciro api GET "/v1/jobs/$job/result/files/counts.tsv"
ciro job download "$job" --output result
grep -x "$(printf 'be\t4000')" result/counts.tsv
ciro job retry "$job"

# A program that prints, one that fails, two in one request, and two ways to cancel.
ciro job run spam 1000 --quiet || true
ciro job run fail 3 --quiet || true
ciro api POST /v1/jobs:batch --data '{"jobs":[{"kind":"sleep","args":["1"]},{"kind":"sleep","args":["2"]}]}'
ciro job cancel "$(ciro job submit sleep 60000 -o id)"
ciro api DELETE "/v1/jobs/$(ciro job submit sleep 60000 -o id)?mode=now"

# Bounds.
ciro limits --all
ciro stats timeseries
ciro stats timeseries ciro_queue_ready_tasks --window 10m
# Labels, and many jobs at once.
ciro job label "$job" reviewed=yes
ciro job submit sleep 60000 --label bulk=yes
ciro job cancel --filter label.bulk=yes --now --yes -o id > batch.id
ciro job retry --filter 'label.bulk=yes state:cancelled' --yes --quiet
ciro api GET "/v1/batches/$(cat batch.id)"
ciro batch list
ciro batch stop "$(cat batch.id)"
ciro job cancel --filter label.bulk=yes --now --yes --quiet

# The settings.
ciro config --all

# Keys.
ciro key create tester --role viewer -o json > key.json
CIRO_API_KEY=$(word key < key.json) ciro job list
ciro key rotate "$(word id < key.json)" --overlap 1m -o json > next.json
CIRO_API_KEY=$(word key < next.json) ciro job list
CIRO_API_KEY=$(word key < key.json) ciro job list
ciro key revoke "$(word id < key.json)"

# A tenant of its own, with a share, a bound, and a key.
tenant=$(ciro tenant create guests --weight 2 -o id)
ciro tenant list
ciro tenant get "$tenant"
ciro tenant edit "$tenant" --open-jobs 10
ciro key create guest --role client --tenant "$tenant" -o json > guest.json
CIRO_API_KEY=$(word key < guest.json) ciro quota

# Money of that tenant: in, out, looked at.
ciro pay deposit 5STRK --tenant "$tenant" --reference traffic
ciro pay withdraw 1STRK --tenant "$tenant"
CIRO_API_KEY=$(word key < guest.json) ciro pay balance
CIRO_API_KEY=$(word key < guest.json) ciro pay ledger --csv
CIRO_API_KEY=$(word key < guest.json) ciro pay earnings
ciro pay quote sleep 10
ciro pay totals
ciro pay escrows --tenant "$tenant"
ciro pay settlements --tenant "$tenant" --filter method:balance

# The chain, which this network has or has not.
ciro chain status || test $? -eq 5
ciro chain contracts
ciro chain reconcile
ciro chain events
ciro chain transactions
ciro api GET /blockchain/status
! ciro chain tx 0x1
! ciro chain estimate 0x1 is_paused

# Who did all that.
ciro audit list
ciro audit export --output audit.ndjson
ciro audit verify audit.ndjson
ciro audit verify
# Backups.
backup=$(ciro backup now -o id)
ciro backup list
ciro backup verify "$backup"
ciro api GET "/v1/admin/backups/$backup"
ciro api GET /v1/admin/coordinators

# A webhook, and what is sent to it: nobody listens there.
ciro webhook create http://127.0.0.1:9/hook -o json > hook.json
hook=$(word id < hook.json)
ciro webhook list
ciro webhook edit "$hook" --event 'job.*'
ciro webhook get "$hook"
! ciro webhook test "$hook" -o json > sent.json
sent=$(word id < sent.json)
ciro webhook deliveries "$hook"
ciro webhook deliveries "$hook" "$sent"
ciro webhook redeliver "$hook" "$sent"
ciro webhook rotate "$hook"
ciro webhook delete "$hook"

# What happens, as it happens: there is no end to wait for.
timeout 3 ciro api GET /v1/events || test $? -eq 124
! ciro api GET '/v1/events?after=yesterday'

# Workers: looked at, and two more that are sent away. A worker that is removed ends with an error.
token=$(ciro key create more --role join -o json | word key)
for name in drained removed; do
  ciro worker start --coordinator "$(word url < .ciro-dev/server.json)" --token "$token" \
    --name "$name" --state "worker-$name" > "$name.log" 2>&1 &
done
worker_named() { ciro api GET "/v1/workers?limit=200" | tr '{' '\n' | grep "\"name\": *\"$1\"" | word id; }
for name in drained removed; do
  until worker_named "$name" | grep -q worker_; do sleep 0.1; done
done
ciro api GET "/v1/workers/$(worker_named drained)"
ciro api POST "/v1/workers/$(worker_named drained)/drain"
ciro api POST "/v1/workers/$(worker_named drained)/undrain"
ciro worker suspend "$(worker_named drained)" --reason "ordinary traffic"
ciro worker resume "$(worker_named drained)"
ciro api GET "/v1/workers/$(worker_named drained)/events?types=worker.*"
ciro api DELETE "/v1/workers/$(worker_named removed)"
ciro api GET /v1/workers/stats

# Lists, in an order, and what a filter may say.
ciro job list --sort=-priority --filter 'state:completed -kind:sleep'
ciro api GET '/v1/jobs/filter-values?field=state&prefix=co'
ciro api GET '/v1/workers/filter-values?field=name'

ciro job wait "$long" --quiet
ciro api DELETE "/v1/artifacts/$hash"
