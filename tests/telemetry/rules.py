"""What every span must be, by the conventions' own policies, over spans that somebody else's decoder has read."""

import json
from types import SimpleNamespace

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pytest_genai_semconv import assert_genai_span_compliant

SCHEMA = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
#: The attribute that stands in a span's name, by its operation.
KEYED = {
    "chat": "gen_ai.request.model",
    "invoke_agent": "gen_ai.agent.name",
    "invoke_workflow": "gen_ai.workflow.name",
    "execute_tool": "gen_ai.tool.name",
}
#: What an answered request must say: required, and recommended without a condition.
ANSWERED = (
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "server.address",
)
#: What every span of a case says of where it belongs.
OURS = ("pipe.run.id", "pipe.item.id", "pipe.case", "pipe.repeat", "pipe.segment")


def value(any_value):
    """A value as Python has it."""
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(pairs):
    read = {pair.key: value(pair.value) for pair in pairs}
    assert len(read) == len(pairs), f"a name stands twice: {[pair.key for pair in pairs]}"
    return read


def spans_of(request):
    """The spans of a request, as bytes or decoded; each with its own bytes."""
    if isinstance(request, bytes):
        request = ExportTraceServiceRequest.FromString(request)
    for resource in request.resource_spans:
        assert attributes(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            assert (scope.schema_url, scope.scope.name) == (SCHEMA, "pipe")
            yield from scope.spans


def identity(span):
    return span.trace_id.hex(), span.span_id.hex()


def request_of(spans):
    """A request of spans, as a sender would make it."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "somebody"
    scope = resource.scope_spans.add(schema_url=SCHEMA)
    scope.scope.name = "pipe"
    scope.spans.extend(spans)
    return request


def check(span):
    """Says what is wrong with one span of a run; raises AssertionError."""
    conventions(span)
    said = attributes(span.attributes)
    operation = said.get("gen_ai.operation.name")
    if operation is not None and not (operation == "invoke_workflow" and "pipe.item.id" not in said):
        missing = [name for name in OURS if name not in said]
        assert not missing, f"{span.name} {identity(span)} lacks {missing}"


def conventions(span):
    """Says what of the conventions a span breaks; raises AssertionError."""
    said = attributes(span.attributes)
    where = f"{span.name} {identity(span)}"
    assert len(span.trace_id) == 16 and any(span.trace_id), where
    assert len(span.span_id) == 8 and any(span.span_id), where
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, where
    operation = said.get("gen_ai.operation.name")
    # 1. The name says what is done with what.
    if operation is None:
        assert span.name.startswith("pipe."), where
    else:
        keyed = said.get(KEYED[operation])
        assert span.name == (f"{operation} {keyed}" if keyed is not None else operation), where
    # 2. Requests are a client's, all else is our own.
    kind = Span.SPAN_KIND_CLIENT if operation == "chat" else Span.SPAN_KIND_INTERNAL
    assert span.kind == kind, where
    # 3. and the types of all attributes, by somebody else's reading of the conventions.
    if operation is not None:
        kind = SimpleNamespace(name="CLIENT" if operation == "chat" else "INTERNAL")
        assert_genai_span_compliant(SimpleNamespace(name=span.name, kind=kind, attributes=said))
    # 4. What must be there is.
    failed = span.status.code == Status.STATUS_CODE_ERROR
    if operation == "chat" and not failed:
        missing = [name for name in ANSWERED if name not in said]
        assert not missing, f"{where} lacks {missing}"
    # 5. Words are JSON of the conventions' form.
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        if name in said:
            messages(json.loads(said[name]), is_output=name == "gen_ai.output.messages")
    for event in span.events:
        if event.name == "gen_ai.evaluation.result":
            result = attributes(event.attributes)
            assert result["gen_ai.evaluation.name"], where
            assert "gen_ai.evaluation.score.value" not in result or "error.type" not in result, where
    # 6. Success is never stated, and what failed says why.
    assert span.status.code != Status.STATUS_CODE_OK, where
    assert failed == ("error.type" in said), f"{where}: {said.get('error.type')}"


def messages(said, is_output):
    assert isinstance(said, list) and said
    for message in said:
        assert message["role"] in ("system", "user", "assistant", "tool"), message
        assert message["parts"], message
        for part in message["parts"]:
            assert part["type"] in ("text", "reasoning") and isinstance(part["content"], str), part
        assert ("finish_reason" in message) == is_output, message


def tree(spans):
    """Every parent within a case is there; returns how many roots there are."""
    known = {identity(span) for span in spans}
    roots = 0
    for span in spans:
        if not span.parent_span_id:
            roots += 1
            continue
        above = (span.trace_id.hex(), span.parent_span_id.hex())
        assert above in known, f"{span.name} {identity(span)} hangs below {above}, which is nowhere"
    return roots
