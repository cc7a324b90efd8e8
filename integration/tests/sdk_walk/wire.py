"""Requests of SDKs that have no type for a body: it is put together from what their methods take."""

import inspect
from typing import Any, Optional

import pydantic

# What a method takes and sends nowhere.
LOCAL = {"self", "request_options", "cls"}


def of_method(owner: Any, method: str) -> type[pydantic.BaseModel]:
    """A body with the arguments of a method."""
    found = {}
    for name, argument in inspect.signature(getattr(owner, method)).parameters.items():
        if name not in LOCAL:
            found[name] = (argument.annotation, ... if argument.default is inspect.Parameter.empty else None)
    return pydantic.create_model(f"{owner.__name__}_{method}", **found)


def google(**found: Any) -> type[pydantic.BaseModel]:
    """A body of the Gemini API, by the names on the wire; every field may be absent, but for the first."""
    (first, kind), *rest = found.items()
    return pydantic.create_model(f"Gemini_{first}", **{first: (kind, ...)}, **{name: (Optional[kind], None) for name, kind in rest})


def gemini_chat() -> type[pydantic.BaseModel]:
    from google.genai import types

    return google(
        contents=list[types.Content], systemInstruction=types.Content, tools=list[types.Tool], toolConfig=types.ToolConfig,
        safetySettings=list[types.SafetySetting], generationConfig=types.GenerationConfig, labels=dict[str, str],
        cachedContent=str, modelArmorConfig=types.ModelArmorConfig, serviceTier=types.ServiceTier,
    )  # fmt: skip


def gemini_count() -> type[pydantic.BaseModel]:
    from google.genai import types

    return google(contents=list[types.Content], systemInstruction=types.Content, tools=list[types.Tool], generationConfig=types.GenerationConfig)


def gemini_embed() -> type[pydantic.BaseModel]:
    from google.genai import types

    return google(content=types.Content, taskType=str, title=str, outputDimensionality=int)


def gemini_embeds() -> type[pydantic.BaseModel]:
    from google.genai import types

    return google(requests=list[google(content=types.Content, model=str, taskType=str)])


def cohere(method: str) -> type[pydantic.BaseModel]:
    from cohere.v2.client import V2Client

    return of_method(V2Client, method)
