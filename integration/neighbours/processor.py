"""An external processor (ext_proc) that streams every body back as it came.

    python processor.py echo|picker PORT_FILE

`echo` answers each message at once. `picker` holds the headers back until the request's body has come and then names an
endpoint in a header, as an endpoint picker of the Gateway API's inference extension does.
"""

import sys
from concurrent import futures
from pathlib import Path

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext

# Envoy refuses longer messages of a stream.
MOST = 62_000
PICKED = "x-gateway-destination-endpoint"


def headers(name: str, value: str) -> ext.HeadersResponse:
    option = HeaderValueOption(
        header=HeaderValue(key=name, raw_value=value.encode()), append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    )
    return ext.HeadersResponse(response=ext.CommonResponse(header_mutation=ext.HeaderMutation(set_headers=[option])))


def body(data: bytes, end: bool) -> list[ext.BodyResponse]:
    """The same bytes, in as many messages as they need."""
    pieces = [data[at : at + MOST] for at in range(0, len(data), MOST)] or [b""]
    streamed = [
        ext.StreamedBodyResponse(body=piece, end_of_stream=end and number == len(pieces) - 1)
        for number, piece in enumerate(pieces)
    ]
    return [
        ext.BodyResponse(response=ext.CommonResponse(body_mutation=ext.BodyMutation(streamed_response=one))) for one in streamed
    ]


def echo(requests):
    for message in requests:
        match message.WhichOneof("request"):
            case "request_headers":
                yield ext.ProcessingResponse(request_headers=headers("x-processed", "request"))
            case "request_body":
                for one in body(message.request_body.body, message.request_body.end_of_stream):
                    yield ext.ProcessingResponse(request_body=one)
            case "request_trailers":
                yield ext.ProcessingResponse(request_trailers=ext.TrailersResponse())
            case "response_headers":
                yield ext.ProcessingResponse(response_headers=headers("x-processed", "response"))
            case "response_body":
                for one in body(message.response_body.body, message.response_body.end_of_stream):
                    yield ext.ProcessingResponse(response_body=one)
            case "response_trailers":
                yield ext.ProcessingResponse(response_trailers=ext.TrailersResponse())


def picker(requests):
    held = bytearray()
    for message in requests:
        match message.WhichOneof("request"):
            case "request_headers" if message.request_headers.end_of_stream:
                yield ext.ProcessingResponse(request_headers=headers(PICKED, "10.0.0.1:8000"))
            case "request_headers":
                pass
            case "request_body":
                held += message.request_body.body
                if message.request_body.end_of_stream:
                    yield ext.ProcessingResponse(request_headers=headers(PICKED, "10.0.0.1:8000"))
                    for one in body(bytes(held), True):
                        yield ext.ProcessingResponse(request_body=one)
            case "request_trailers":
                yield ext.ProcessingResponse(request_headers=headers(PICKED, "10.0.0.1:8000"))
                for one in body(bytes(held), False):
                    yield ext.ProcessingResponse(request_body=one)
                yield ext.ProcessingResponse(request_trailers=ext.TrailersResponse())
            case _:
                yield from echo([message])


def main() -> None:
    kind, port_file = sys.argv[1:]
    process = {"echo": echo, "picker": picker}[kind]
    handler = grpc.stream_stream_rpc_method_handler(
        lambda requests, _: process(requests), ext.ProcessingRequest.FromString, ext.ProcessingResponse.SerializeToString
    )
    server = grpc.server(futures.ThreadPoolExecutor(64))
    methods = grpc.method_handlers_generic_handler("envoy.service.ext_proc.v3.ExternalProcessor", {"Process": handler})
    server.add_generic_rpc_handlers([methods])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    part = Path(port_file + ".part")
    part.write_text(str(port))
    part.rename(port_file)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
