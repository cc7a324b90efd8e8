"""Asks through the official clients, in the environment that has them: a question a line from stdin, its answer to stdout, JSON.

A question names a store, a call and its arguments; each has a client of its own, so that every answer includes the client's start.
"""

import json
import sys
import warnings
from urllib.parse import urlsplit

from stores.embedding import embed

warnings.simplefilter("ignore")


def plain(value):
    """What a client gave back, as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        # The headers of a reply are no value of the call.
        return {str(key): plain(one) for key, one in value.items() if key != "response_info"}
    if isinstance(value, (list, tuple, set)):
        return [plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def chroma(url: str, token: str, tenant: str, call: str, arguments: dict):
    import chromadb
    from chromadb.config import Settings

    client = chromadb.HttpClient(
        urlsplit(url).hostname, urlsplit(url).port, tenant=tenant, database=f"{tenant}-main",
        headers={"Authorization": f"Bearer {token}"}, settings=Settings(anonymized_telemetry=False),
    )  # fmt: skip
    if call == "list_collections":
        return [one.name for one in client.list_collections()]
    if call in ("create_collection", "get_or_create_collection", "delete_collection"):
        getattr(client, call)(arguments["name"])
        return "done"
    collection = client.get_collection("docs", embedding_function=None)
    if text := arguments.pop("text", None):
        arguments["query_embeddings"] = [embed(text)]
    if texts := arguments.get("documents"):
        arguments["embeddings"] = [embed(text) for text in texts]
    return plain(getattr(collection, call)(**arguments))


def pinecone(url: str, token: str, tenant: str, call: str, arguments: dict):
    from pinecone import Pinecone

    index = Pinecone(api_key=token).Index(host=url)
    if text := arguments.pop("text", None):
        arguments["vector"] = embed(text)
    if texts := arguments.pop("texts", None):
        arguments["vectors"] = [{"id": key, "values": embed(text), "metadata": {"text": text}} for key, text in texts.items()]
    if call == "list":
        return [one.id for page in index.list(namespace=tenant) for one in page.vectors]
    found = getattr(index, call)(namespace=tenant, **arguments) if call != "describe_index_stats" else index.describe_index_stats()
    return plain(found.to_dict() if hasattr(found, "to_dict") else found)


def weaviate(url: str, token: str, tenant: str, call: str, arguments: dict):
    import weaviate
    from weaviate.classes.init import Auth

    port = urlsplit(url).port
    client = weaviate.connect_to_custom(
        http_host="127.0.0.1", http_port=port, http_secure=False, grpc_host="localhost", grpc_port=port, grpc_secure=False,
        auth_credentials=Auth.api_key(token), skip_init_checks=True,
    )  # fmt: skip
    try:
        collection = client.collections.use("Docs").with_tenant(tenant)
        if call == "graphql":
            found = client.graphql_raw_query(arguments["query"])
            return {"get": found.get, "aggregate": found.aggregate, "errors": found.errors}
        if call == "fetch_objects":
            return len(collection.query.fetch_objects().objects)
        if call == "over_rest":
            return plain(client.debug.get_object_over_rest("Docs", **arguments, tenant=tenant).properties)
        if call == "tenant":
            return bool(client.collections.use("Docs").tenants.get_by_name(tenant))
        return plain(getattr(collection.data, call)(**arguments))
    finally:
        client.close()


def answered(question: dict) -> dict:
    try:
        ask = {"chroma": chroma, "pinecone": pinecone, "weaviate": weaviate}[question["store"]]
        return {"value": ask(question["url"], question["token"], question["tenant"], question["call"], dict(question["arguments"]))}
    except Exception as error:
        return {"kinds": [kind.__name__ for kind in type(error).__mro__], "message": str(error), "status": getattr(error, "status_code", None)}


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # what a client prints is no answer
    for line in sys.stdin:
        print(json.dumps(answered(json.loads(line))), file=out, flush=True)
