"""Two graphs of one model, which says the pieces that `SAID` (JSON, in the environment) has for the caller's last words."""

import json
import os
import time
from typing import Annotated, TypedDict

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph, add_messages

SAID = json.loads(os.environ["SAID"])
USAGE = {"input_tokens": 11, "output_tokens": 13, "total_tokens": 24}


class Model(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "said"

    def _generate(self, messages, stop=None, run_manager=None, **_) -> ChatResult:
        said = "".join(SAID[messages[-1].content])
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said, usage_metadata=USAGE))])

    def _stream(self, messages, stop=None, run_manager=None, **_):
        pieces = SAID[messages[-1].content]
        for number, piece in enumerate(pieces):
            # Two models that speak at a time speak in turns.
            time.sleep(0.02)
            usage = USAGE if number == len(pieces) - 1 else None
            chunk = ChatGenerationChunk(message=AIMessageChunk(piece, usage_metadata=usage))
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk


class State(TypedDict):
    messages: Annotated[list[BaseMessage], add_messages]


def agent(state: State) -> dict:
    answer = Model().invoke(state["messages"])
    get_stream_writer()({"progress": answer.content})
    return {"messages": [answer]}


def aside(state: State) -> dict:
    return {"messages": [Model().invoke("aside")]}


def graph(*nodes):
    made = StateGraph(State)
    for node in nodes:
        made.add_node(node.__name__, node)
        made.add_edge(START, node.__name__)
        made.add_edge(node.__name__, END)
    return made.compile()


small, pair = graph(agent), graph(agent, aside)
