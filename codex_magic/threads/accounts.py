"""Signing in and out of a `Codex`: one attempt at a time, and its requests follow the new account."""

from __future__ import annotations

import logging
from typing import TypeVar

from ..auth.handles import AsyncChatgptLoginHandle, AsyncDeviceCodeLoginHandle, AsyncLogin
from ..auth.sign_in import SignIn
from ..auth.tokens import TokenSource
from ..protocol.account import ChatgptAccount, GetAccountResponse, LoginState, LoginUpdated
from ..protocol.errors import AuthError, CodexError
from ..protocol.settings import Settings
from ..waiting import awaited, in_thread

log = logging.getLogger(__name__)

L = TypeVar("L", bound=AsyncLogin)


class AsyncAccounts:
    """`followers`: whose requests go on with the account that was signed in to here."""

    def __init__(self, settings: Settings, followers: list[TokenSource], *, needed: bool) -> None:
        self._settings = settings
        self._followers = followers
        self._needed = needed
        self._pending: AsyncLogin | None = None

    async def close(self) -> None:
        """Give up what still waits for a person."""
        if self._pending is not None:
            await self._pending.cancel()

    async def by_browser(self, *, open_browser: bool) -> AsyncChatgptLoginHandle:
        await self.close()
        sign_in = self._sign_in()
        handle = await AsyncChatgptLoginHandle.start(sign_in, self._settings, open_browser=open_browser)
        return self._begun(handle)

    async def by_pasting(self) -> AsyncChatgptLoginHandle:
        await self.close()
        return self._begun(await AsyncChatgptLoginHandle.start_pasted(self._sign_in(), self._settings))

    async def by_device_code(self) -> AsyncDeviceCodeLoginHandle:
        await self.close()
        return self._begun(await AsyncDeviceCodeLoginHandle.start(self._sign_in()))

    async def by_api_key(self, key: str) -> None:
        await self.close()
        sign_in = self._sign_in()
        await awaited(in_thread(lambda: sign_in.keep_api_key(key)))
        self._follow()

    async def logout(self) -> None:
        await self.close()
        await awaited(in_thread(self._sign_in().forget))
        self._follow()

    async def account(self, *, refresh: bool) -> GetAccountResponse:
        found = await awaited(in_thread(self._sign_in().account))
        if refresh and isinstance(found, ChatgptAccount):
            try:
                found = await awaited(in_thread(self._renewed))
            except AuthError as error:
                log.info("the sign-in does not hold any more: %s", error.message)
                found = None
            except CodexError as error:
                log.info("the sign-in could not be checked: %s", error.message)
        return GetAccountResponse(found, self._needed)

    def _renewed(self) -> ChatgptAccount:
        source = TokenSource.of(self._settings)
        renewed = source.renewed(source.current()).result()
        return ChatgptAccount(renewed.email, renewed.plan)

    def _sign_in(self) -> SignIn:
        return SignIn.of(self._settings)

    def _begun(self, handle: L) -> L:
        self._pending = handle
        handle.subscribe(self._told)
        return handle

    def _told(self, update: LoginUpdated) -> None:
        if update.state is LoginState.success:
            self._follow()

    def _follow(self) -> None:
        for source in self._followers:
            source.follow()
