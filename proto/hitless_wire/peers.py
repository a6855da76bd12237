"""How a supervisor's shell asks and tells encoders and origin: gRPC and HTTP clients.

Owns what is asked and the deadlines; decides nothing. Connections to encoders are kept for a while
(`connections.py`): at rest none is open. Who can't be reached is None, not an exception: the
supervisor's rules say what that means. Operator and `hitless local` use it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import grpc
import grpc.aio
from pydantic import ValidationError

from hitless_handover.messages import EncoderReport, OriginReport, OriginSwitch
from hitless_handover.peer_model import Reply
from hitless_handover.supervisor_model import (
    AbortHandover,
    BeginHandover,
    BindIncumbent,
    GrantTerm,
    ReleaseHandover,
)
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire._gen.handover_pb2_grpc import EncoderServiceStub, HandoverServiceStub
from hitless_wire.codec import WireError, criteria_to_wire, reply_from_wire, report_from_wire
from hitless_wire.connections import Connections
from hitless_wire.following import Following
from hitless_wire.ingest import ChannelReport, report_path

GRPC_PORT = 7400
METRICS_PORT = 7401  # of an encoder
CALL_S = 3  # for an answer that takes milliseconds; a look at a channel waits no longer than this
MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # a segment of a high rendition, with room

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # Pods come and go under the same address: never share a sub-channel's back-off between calls.
    ("grpc.use_local_subchannel_pool", 1),
    # Pods and processes are reached directly, whatever the environment says of proxies.
    ("grpc.enable_http_proxy", 0),
)

Order = GrantTerm | BeginHandover | BindIncumbent | AbortHandover | ReleaseHandover
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Peers:
    """Clients of encoders and origins; an async context manager. call_s: for each answer."""

    def __init__(self, call_s: int = CALL_S) -> None:
        self._call_s = call_s
        self._connections = Connections(CHANNEL_OPTIONS)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._call_s)
        self._http = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connections.close()
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def encoder_report(self, address: str) -> EncoderReport | None:
        """What the encoder at host:port says; None when it can't be asked."""

        async def ask(channel: grpc.aio.Channel) -> EncoderReport:
            stub = EncoderServiceStub(channel)
            response = await stub.GetReport(pb.GetReportRequest(), timeout=self._call_s)
            return report_from_wire(response.report)

        return await self._call(address, ask)

    async def tell(self, order: Order, addresses: Mapping[str, str]) -> Reply | None:
        """Give an order to the encoder named in it; None when it can't be reached.

        addresses: host:port of every encoder that the order names.
        """
        address = addresses.get(order.name)
        if not address:
            return None
        return await self._call(
            address, lambda channel: _give(channel, order, addresses, self._call_s)
        )

    async def follow(self, whom: Following) -> Reply | None:
        """Tell a spare to keep to the anchor of the encoder on air.

        None: not reached, or too old to know the call.
        """

        async def tell(channel: grpc.aio.Channel) -> Reply:
            request = pb.FollowRequest(encoder_id=whom.leader, address=whom.leader_address)
            response = await EncoderServiceStub(channel).Follow(request, timeout=self._call_s)
            return reply_from_wire(response.reply)

        return await self._call(whom.spare_address, tell)

    async def origin_report(
        self, base_url: str, namespace: str, channel: str
    ) -> OriginReport | None:
        """What the origin did with a channel; None when it can't be asked or knows nothing."""
        assert self._http is not None, "use Peers as an async context manager"
        url = base_url.rstrip("/") + report_path(namespace, channel)
        try:
            async with self._http.get(url) as response:
                if response.status != 200:
                    return None
                return origin_report(ChannelReport.model_validate_json(await response.read()))
        except (TimeoutError, aiohttp.ClientError, ValidationError) as error:
            _log.info("origin %s did not answer: %s", url, error or type(error).__name__)
            return None

    async def _call(
        self, address: str, ask: Callable[[grpc.aio.Channel], Awaitable[T]]
    ) -> T | None:
        try:
            return await self._connections.call(address, ask)
        except grpc.aio.AioRpcError as error:
            _log.debug("encoder %s did not answer: %s", address, error.details())
            return None
        except WireError as error:
            _log.warning("encoder %s speaks another language: %s", address, error)
            return None


def origin_report(report: ChannelReport) -> OriginReport:
    """The core's view of an origin's report."""
    return OriginReport(
        last_segment=report.last_segment,
        selected_encoder=report.selected_encoder,
        selected_priority=report.selected_priority,
        fallbacks=report.fallbacks,
        gaps=report.gaps,
        switches=tuple(
            OriginSwitch(
                segment=s.segment,
                from_encoder=s.from_encoder,
                to_encoder=s.to_encoder,
                from_priority=s.from_priority,
                to_priority=s.to_priority,
                fallback=s.fallback,
                gap_frames=s.gap_frames,
                overlap_frames=s.overlap_frames,
            )
            for s in report.switches
        ),
    )


async def _give(
    channel: grpc.aio.Channel, order: Order, addresses: Mapping[str, str], call_s: int
) -> Reply:
    stub = EncoderServiceStub(channel)
    match order:
        case BindIncumbent():
            arm = pb.ArmRequest(handover_id=order.handover_id, frame=order.frame)
            armed = await HandoverServiceStub(channel).Arm(arm, timeout=call_s)
            return reply_from_wire(armed.reply)
        case GrantTerm():
            take = pb.TakeRequest(term=order.term, from_segment=order.from_segment)
            taken = await stub.Take(take, timeout=call_s)
            return reply_from_wire(taken.reply)
        case BeginHandover():
            begin = pb.BeginRequest(
                handover_id=order.handover_id,
                term=order.term,
                incumbent_id=order.incumbent,
                incumbent_address=addresses.get(order.incumbent, ""),
                criteria=criteria_to_wire(order.criteria),
                deadline_us=order.deadline_us,
            )
            begun = await stub.Begin(begin, timeout=call_s)
            return reply_from_wire(begun.reply)
        case AbortHandover():
            abort = pb.AbortRequest(
                handover_id=order.handover_id, reason=order.reason, term=order.term
            )
            aborted = await stub.Abort(abort, timeout=call_s)
            return reply_from_wire(aborted.reply)
        case ReleaseHandover():
            release = pb.ReleaseRequest(handover_id=order.handover_id)
            released = await stub.Release(release, timeout=call_s)
            return reply_from_wire(released.reply)
