"""Asks through the official client (gql), over both of its HTTP transports.

Reads a list of questions from stdin, writes a list of answers to stdout, both JSON.
"""

import asyncio
import json
import sys

from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportError
from gql.transport.requests import RequestsHTTPTransport

TIMEOUT = 60


def by_requests(question: dict):
    transport = RequestsHTTPTransport(question["url"], headers=question["headers"], timeout=TIMEOUT, retries=0)
    return Client(transport=transport).execute(request(question))


def by_aiohttp(question: dict):
    async def ask():
        transport = AIOHTTPTransport(question["url"], headers=question["headers"], timeout=TIMEOUT)
        async with Client(transport=transport) as session:
            return await session.execute(request(question))

    return asyncio.run(ask())


def request(question: dict) -> GraphQLRequest:
    return GraphQLRequest(question["query"], variable_values=question["variables"])


CLIENTS = {"requests": by_requests, "aiohttp": by_aiohttp}


def answer(question: dict) -> dict:
    try:
        return {"data": CLIENTS[question["client"]](question)}
    except TransportError as error:
        return {"kind": type(error).__name__, "errors": getattr(error, "errors", None), "status": getattr(error, "code", None)}


if __name__ == "__main__":
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
