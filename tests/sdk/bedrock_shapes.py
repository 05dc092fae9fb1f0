"""Documents of Bedrock's against botocore's own service model: requests by its validator of parameters, answers and events by its
parser, which must take each member into what it gives back; and the frames of the goldens by its reader of event streams."""

import base64
import json
import struct
import zlib

import botocore.session
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
REQUEST = MODEL.operation_model("Converse").input_shape
ANSWER = MODEL.operation_model("Converse").output_shape
EVENTS = MODEL.operation_model("ConverseStream").output_shape.members["stream"]


def faults(kind, document):
    """What the service model says against it, as `place: reason`."""
    shape = {"request": REQUEST, "answer": ANSWER, "event": EVENTS}[kind]
    found = list(unknown(shape, document, kind))
    if kind == "request":
        document = document | {"modelId": "m"}
    report = ParamValidator().validate(as_python(shape, document), shape)
    if report.has_errors():
        found += report.generate_report().splitlines()
    if kind == "event" and not found:
        found += event_faults(document)
    return found


def unknown(shape, value, at):
    """Members that the shape does not have, which a parser would pass over; a union has one."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"{at}: a union of {sorted(value)}"
        for name, inner in value.items():
            if name not in shape.members:
                yield f"{at}.{name}: unknown"
            else:
                yield from unknown(shape.members[name], inner, f"{at}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            yield from unknown(shape.member, inner, f"{at}.#")
    elif shape.type_name == "blob":
        base64.b64decode(value, validate=True)


def as_python(shape, value):
    """As boto3's callers give it: bytes where JSON has base64."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return {name: as_python(shape.members[name], inner) for name, inner in value.items() if name in shape.members}
    if shape.type_name == "list":
        return [as_python(shape.member, inner) for inner in value]
    return base64.b64decode(value) if shape.type_name == "blob" else value


def event_faults(document):
    """As one frame through the reader of AWS's own frames and the parser of the protocol: nothing is lost on the way."""
    [(name, payload)] = document.items()
    buffer = EventStreamBuffer()
    buffer.add_data(framed(name, json.dumps(payload).encode()))
    [message] = list(buffer)
    parsed = create_parser(MODEL.metadata["protocol"])._event_stream_parser.parse(message.to_response_dict(), EVENTS)
    wanted = {name: as_python(EVENTS.members[name], payload)}
    return [] if parsed == wanted else [f"{name}: read as {parsed}"]


def framed(name, payload):
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()
        for key, text in ((":event-type", name), (":content-type", "application/json"), (":message-type", "event"))
    )
    frame = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    frame += struct.pack(">I", zlib.crc32(frame)) + headers + payload
    return frame + struct.pack(">I", zlib.crc32(frame))
