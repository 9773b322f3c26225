"""Media types of the API that schemathesis does not know by itself."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """A generated value as one line, a list as one line for each of its items."""
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@schemathesis.deserializer("application/octet-stream")
def plain_bytes(ctx, response):
    """Bytes are what they are; their schema is a string."""
    return response.content.decode("latin-1")
