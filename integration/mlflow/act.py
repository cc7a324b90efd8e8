"""Acts on the registry through MLflow's official client.

Reads a list of calls (`[method, arguments]`) from stdin; the client's own environment says where the registry is.
"""

import json
import sys

from mlflow import MlflowClient

client = MlflowClient()
for method, arguments in json.load(sys.stdin):
    if method == "forget_everything":
        # The client gives one page.
        while models := client.search_registered_models():
            for model in models:
                client.delete_registered_model(model.name)
    else:
        getattr(client, method)(*arguments)
