"""A real LangServe server with one chain, which says the pieces of `SAID` (JSON, in the environment) as a model would."""

import json
import os
import sys

import uvicorn
from fastapi import FastAPI
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableGenerator
from langserve import add_routes


async def pieces(asked):
    async for _ in asked:
        pass
    for piece in json.loads(os.environ["SAID"]):
        yield AIMessageChunk(content=piece)


app = FastAPI()
add_routes(app, RunnableGenerator(pieces), path="/chain")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
