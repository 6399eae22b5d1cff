"""The broker as a whole: its parts assembled, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Self

import zmq.asyncio

from cryomamba.endpoints import BusEndpoints, ConnectionFile
from cryomamba.errors import UnavailableError
from cryomamba.settings import Settings
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba_broker.admission import VolumeRoots
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.client_requests import ClientRequests
from cryomamba_broker.connections import BusConnections
from cryomamba_broker.core import Core
from cryomamba_broker.counters import Counters
from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_broker.directory_lock import DataDirectoryLock
from cryomamba_broker.disk_space import DiskSpace
from cryomamba_broker.dispatch import Dispatcher
from cryomamba_broker.metrics import BrokerMetrics
from cryomamba_broker.preview_cache import PreviewCache
from cryomamba_broker.preview_relay import PreviewRelay
from cryomamba_broker.publisher import EventPublisher
from cryomamba_broker.revocation import Revocation
from cryomamba_broker.sockets import BusSockets, bind_sockets
from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_broker.store import Clock, Store
from cryomamba_broker.store.database import require_not_emptied
from cryomamba_broker.store_thread import StoreThread
from cryomamba_broker.subscriptions import OwnerCache, Subscriptions
from cryomamba_broker.webhook_requests import WebhookRequests
from cryomamba_broker.webhook_secrets import WebhookSecrets
from cryomamba_broker.worker_administration import WorkerAdministration
from cryomamba_broker.worker_requests import WorkerRequests
from cryomamba_broker.workers import Workers
from cryomamba_server.loop_lag import measure_loop_lag
from cryomamba_server.webhook_addresses import WebhookPolicy

FILE_THREADS: Final = 4
DRAIN_S: Final = 2.0
SOURCE: Final = "broker"
_DRAIN_POLL_S: Final = 0.05

logger = logging.getLogger(__name__)


class Broker:
    """A running broker, as an async context manager.

    Parameters
    ----------
    policy : LeasePolicy, optional
        By default, the lease of the settings, three attempts and growing pauses.
    delivery_policy : DeliveryPolicy, optional
        When messages to webhooks are tried again.

    Raises
    ------
    CryoMambaError
        On entering: an endpoint is in use or can be reached from other machines, another broker uses the data
        directory, or its job store cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        policy: LeasePolicy | None = None,
        delivery_policy: DeliveryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.policy = policy or LeasePolicy(lease_s=settings.lease_s)
        self.delivery_policy = delivery_policy
        self.clock = clock or Clock()
        self.envelopes = EnvelopeFactory(SOURCE)
        self.counters = Counters()
        self.metrics = BrokerMetrics(self.counters)
        self.authenticator = BusAuthenticator.of(settings)
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._core: Core | None = None

    @property
    def endpoints(self) -> BusEndpoints:
        """The endpoints as bound."""
        return self.core.endpoints

    @property
    def core(self) -> Core:
        """The parts that request handlers use."""
        if self._core is None:
            raise UnavailableError("The broker is not running.")
        return self._core

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        logger.info("The broker listens at %s.", self.endpoints.jobs)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        logger.info("The broker has ended: %s.", self.counters)

    async def _start(self, stack: AsyncExitStack) -> None:
        stack.callback(DataDirectoryLock(self.settings.home).release)
        store = await StoreThread.open(self._open_store)
        stack.push_async_callback(store.close)
        context = zmq.asyncio.Context()
        stack.callback(context.term)
        self.authenticator.start(context)
        stack.callback(self.authenticator.stop)
        self.connections = BusConnections.of(self.settings, encrypted=self.authenticator.locked, counters=self.counters)
        wanted = BusEndpoints.from_settings(self.settings)
        sockets = bind_sockets(context, wanted, self.authenticator, self.connections)
        stack.callback(sockets.close)
        files = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="files")
        stack.callback(files.shutdown, wait=False, cancel_futures=True)
        await self._assemble(stack, store, sockets, files)
        found = ConnectionFile(
            epoch=self.envelopes.epoch,
            pid=os.getpid(),
            endpoints=sockets.endpoints,
            public_key=self.authenticator.public_key,
        )
        found.write(self.settings.connection_file)
        stack.callback(self._remove_connection_file)

    async def _assemble(
        self, stack: AsyncExitStack, store: StoreThread, sockets: BusSockets, files: ThreadPoolExecutor
    ) -> None:
        cache = PreviewCache()
        self.metrics.cached.set_function(lambda: cache.nbytes)
        owners = OwnerCache(store)
        relay = self._preview_relay(sockets, cache, owners)
        publisher = self._event_publisher(sockets, store, owners)
        known = await store.call(lambda opened: opened.engines.load())
        states = await store.call(lambda opened: opened.worker_states.load())
        await store.call(lambda opened: opened.leases.extend_all())
        for (job_id, attempt), key in (await store.call(lambda opened: opened.leases.running())).items():
            relay.fence.advance(job_id, attempt, key)
        lease_s = self.policy.lease_s
        self._core = Core(
            epoch=self.envelopes.epoch,
            started=self.clock.wall(),
            endpoints=sockets.endpoints,
            lease_s=lease_s,
            clock=self.clock,
            store=store,
            publisher=publisher,
            cache=cache,
            fence=relay.fence,
            owners=owners,
            workers=Workers(known, silent_s=2 * lease_s, states=states),
            metrics=self.metrics,
        )
        settings = self.settings
        roots = VolumeRoots(settings.roots, settings.artifacts, settings.uploads, forbidden=settings.own_folders)
        measure_disk = partial(DiskSpace.measure, settings.artifacts.parent, settings.disk_reserve, settings.work)
        clients = ClientRequests(self._core, roots=roots, files=files, measure_disk=measure_disk)
        workers = WorkerRequests(self._core, roots=roots, files=files)
        webhooks = WebhookRequests(
            self._core,
            authenticator=self.authenticator,
            secrets=WebhookSecrets(settings.keys),
            policy=WebhookPolicy(settings.webhook_networks),
            limit=settings.webhooks_per_owner,
            files=files,
        )
        administration = WorkerAdministration(self._core, self.authenticator, workers.requeue)
        handlers = {**clients.handlers(), **workers.handlers(), **administration.handlers(), **webhooks.handlers()}
        wall = self.clock.wall
        dispatcher = Dispatcher(
            sockets.jobs, self.envelopes, handlers, self.counters, wall, self.authenticator, self.metrics.requests
        )
        stack.push_async_callback(self._end_tasks)
        self._begin("requests", dispatcher.run())
        self._begin("previews", relay.run())
        self._begin("events", publisher.run())
        self._begin("late joiners", publisher.answer_late_joiners())
        if self.authenticator.public_key is not None:
            self._begin("revocation", Revocation(self.authenticator, relay, publisher).run())
        self._begin("loop lag", measure_loop_lag(self.metrics.loop_lag.observe))
        self._begin("leftovers", workers.remove_leftovers())
        self._begin("leases", workers.expire_leases(min(1.0, self.policy.renewal_s)))

    def _preview_relay(self, sockets: BusSockets, cache: PreviewCache, owners: OwnerCache) -> PreviewRelay:
        return PreviewRelay(
            sockets.preview_in,
            sockets.preview_out,
            cache,
            self.counters,
            self.authenticator,
            Subscriptions(self.authenticator, owners, lambda fd: sockets.monitors["preview_out"].find(fd)),
            sockets.renew_preview_out,
            self.metrics.count_frame,
        )

    def _open_store(self) -> Store:
        require_not_emptied(self.settings.database, self.settings.artifacts)
        return Store(self.settings.database, self.clock, self.policy, self.delivery_policy)

    def _event_publisher(self, sockets: BusSockets, store: StoreThread, owners: OwnerCache) -> EventPublisher:
        return EventPublisher(
            sockets.events,
            self.envelopes,
            store,
            self.counters,
            self.clock.wall,
            Subscriptions(self.authenticator, owners, lambda fd: sockets.monitors["events"].find(fd)),
            sockets.renew_events,
        )

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _remove_connection_file(self) -> None:
        path = self.settings.connection_file
        with contextlib.suppress(UnavailableError):
            if ConnectionFile.read(path).epoch == self.envelopes.epoch:
                path.unlink(missing_ok=True)

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set and leases are released; raises if a part of the broker fails unexpectedly."""
        await self._unless_failed(stop.wait())
        await self._unless_failed(self._drain())

    async def _unless_failed(self, work: Coroutine[Any, Any, Any]) -> None:
        working = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait([working, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            working.cancel()

    async def _drain(self) -> None:
        """Lease no further jobs, and give workers that shut down at the same time a moment to release theirs."""
        core = self.core
        core.claims.closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while len(core.workers) and await core.store.call(lambda store: store.leases.count_running()):  # noqa: ASYNC110
                    await asyncio.sleep(_DRAIN_POLL_S)
