"""The blocks of Terraform files as JSON, by python-hcl2: runs in `.cache/clouds`. `python hcl.py FILE...`"""

import json
import sys

import hcl2

print(json.dumps({name: hcl2.load(open(name)) for name in sys.argv[1:]}))
