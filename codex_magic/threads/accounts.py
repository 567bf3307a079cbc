"""The sign-in of an `AsyncCodex`: one attempt at a time, and its requests follow the new account."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..protocol.account import ChatgptAccount, GetAccountResponse, LoginState
from ..protocol.errors import AuthError, CodexError
from ..protocol.settings import Settings
from ..waiting import awaited, in_thread
from .engines import Engines

if TYPE_CHECKING:
    from ..auth.handles import AsyncChatgptLoginHandle, AsyncDeviceCodeLoginHandle, AsyncLogin
    from ..auth.sign_in import SignIn

    L = TypeVar("L", bound=AsyncLogin)

log = logging.getLogger(__name__)


class AsyncAccounts(ABC):
    """The sign-in of an `AsyncCodex`. It is rare, so what it imports comes with its first use."""

    settings: Settings
    engines: Engines
    _attempt: AsyncLogin | None

    @abstractmethod
    def enter_loop(self) -> None:
        """Begin anew where the loop that was used before has ended."""

    async def login_chatgpt(self, *, open_browser: bool = False) -> AsyncChatgptLoginHandle:
        """Sign in with the browser of this machine. Raises LoginError when no port is free for it."""
        from ..auth.handles import AsyncChatgptLoginHandle

        starting = AsyncChatgptLoginHandle.start(self._sign_in(), self.settings, open_browser=open_browser)
        return await self._begin(starting)

    async def login_chatgpt_pasted(self) -> AsyncChatgptLoginHandle:
        """Sign in with a browser elsewhere, whose last address is given to `paste`."""
        from ..auth.handles import AsyncChatgptLoginHandle

        return await self._begin(AsyncChatgptLoginHandle.start_pasted(self._sign_in(), self.settings))

    async def login_chatgpt_device_code(self) -> AsyncDeviceCodeLoginHandle:
        """Sign in with a code typed into any browser. Raises LoginError when that is switched off."""
        from ..auth.handles import AsyncDeviceCodeLoginHandle

        return await self._begin(AsyncDeviceCodeLoginHandle.start(self._sign_in()))

    async def login_api_key(self, api_key: str) -> None:
        """Store a key, which is not tried. Raises LoginError for what can be none."""
        await self.give_up_sign_in()
        sign_in = self._sign_in()
        await awaited(in_thread(lambda: sign_in.keep_api_key(api_key)))
        self._follow()

    async def logout(self) -> None:
        """Sign out here and, if it can be reached, at the service."""
        await self.give_up_sign_in()
        await awaited(in_thread(self._sign_in().forget))
        self._follow()

    async def account(self, *, refresh_token: bool = False) -> GetAccountResponse:
        """Who is signed in; with `refresh_token` the service is asked whether that still holds."""
        account = await awaited(in_thread(self._sign_in().account))
        if refresh_token and isinstance(account, ChatgptAccount):
            from ..auth.sign_in import TokenSource

            try:
                source = TokenSource.of(self.settings)
                renewed = await awaited(in_thread(lambda: source.renewed(source.current()).result()))
                account = ChatgptAccount(renewed.email, renewed.plan)
            except AuthError as error:
                log.info("the sign-in does not hold any more: %s", error.message)
                account = None
            except CodexError as error:
                log.info("the sign-in could not be checked: %s", error.message)
        return GetAccountResponse(account, self.engines.need_sign_in)

    async def give_up_sign_in(self) -> None:
        """End an attempt that still waits for a person."""
        self.enter_loop()
        if self._attempt is not None:
            await self._attempt.cancel()

    async def _begin(self, starting: Coroutine[Any, Any, L]) -> L:
        await self.give_up_sign_in()
        self._attempt = handle = await starting
        handle.subscribe(lambda update: self._follow() if update.state is LoginState.success else None)
        return handle

    def _sign_in(self) -> SignIn:
        from ..auth.sign_in import SignIn

        return SignIn.of(self.settings)

    def _follow(self) -> None:
        for source in self.engines.followers:
            source.follow()
