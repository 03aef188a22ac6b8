"""A mail server: takes mail over TLS alone, from a user who has logged in, and says what it took, a line of JSON each.

smtp_receiver.py CERTIFICATE KEY starttls|tls
Prints its port first. Mail to later@… is put off once, mail to never@… is refused for good.
"""

import asyncio
import json
import ssl
import sys
from email import message_from_bytes
from email.policy import default

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

certificate, key, kind = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


def say(**facts):
    print(json.dumps(facts), flush=True)


class Receiver:
    put_off = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("later@") and address not in self.put_off:
            self.put_off.add(address)
            say(put_off=address)
            return "450 try again"
        if address.startswith("never@"):
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=default)
        say(
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            user=session.auth_data.login.decode() if session.auth_data else None,
            encrypted=session.ssl is not None or kind == "tls",
            subject=mail["subject"],
            id=mail["message-id"],
            text=mail.get_content().strip(),
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data.password == b"a password of mail"
    if not right:
        say(refused=data.login.decode())
    return AuthResult(success=right, handled=False, auth_data=data)


def conversation():
    settings = {"authenticator": authenticate, "auth_required": True}
    if kind == "tls":
        return SMTP(Receiver(), auth_require_tls=False, **settings)
    return SMTP(Receiver(), tls_context=context, require_starttls=True, **settings)


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(conversation, "127.0.0.1", 0, ssl=context if kind == "tls" else None)
    say(port=server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
