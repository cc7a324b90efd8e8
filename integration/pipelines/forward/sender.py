"""Sends records from stdin by Fluentd's forward protocol: what a Fluent Bit or Fluentd would do behind the tail.

usage: sender.py PORT        run by rsyslog's omprog in the environment of requirements.txt
"""

import json
import sys

from fluent import sender

logger = sender.FluentSender("bartizan", host="127.0.0.1", port=int(sys.argv[1]))
for line in sys.stdin:
    if not logger.emit("audit", json.loads(line)):
        sys.exit(f"not sent: {logger.last_error}")
logger.close()
