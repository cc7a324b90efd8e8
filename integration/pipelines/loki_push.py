"""Pushes records from stdin to Loki's API, with the labels of vector.yaml: what Vector or Fluent Bit would do behind the tail.

usage: loki_push.py URL LABEL=FIELD...        run by rsyslog's omprog
"""

import datetime
import json
import sys
import urllib.request

url, labels = sys.argv[1], dict(pair.split("=") for pair in sys.argv[2:])
for line in sys.stdin:
    line = line.rstrip("\n")
    record = json.loads(line)
    moment = datetime.datetime.fromisoformat(record["@timestamp"].replace("Z", "+00:00"))
    nanoseconds = str(int(moment.timestamp() * 1000) * 1_000_000)
    stream = {"service": "bartizan"} | {label: record.get(field, "none") for label, field in labels.items()}
    push = {"streams": [{"stream": stream, "values": [[nanoseconds, line, {"request_id": record["http.request.id"]}]]}]}
    request = urllib.request.Request(url, json.dumps(push).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()
