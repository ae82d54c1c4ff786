"""Send a campaign's content to one address, to look at it in a real mailbox."""

from datetime import datetime

from app.commands.messages import Letter, NewMessage, create_messages
from app.db import Conn
from app.domain.errors import Fault, InvalidInput
from app.reads.audiences import get_first_contact
from app.reads.campaigns import get_campaign

SUBJECT_PREFIX = "[Test] "
#: What the unsubscribe link of a test shows: the page, for a token that is nobody's.
TEST_UNSUBSCRIBE_PATH = "/u/test"
_SUBJECT_LENGTH_MAX = 998


def send_test(conn: Conn, *, account_id: int, campaign_id: int, to: str, public_url: str, now: datetime) -> int:
    """Make one API message of the campaign's content, with the merge values of the audience's first contact.

    Returns the message's id. Raises NotFound, InvalidInput without content or for values that contact does not have.
    """
    campaign = get_campaign(conn, account_id=account_id, campaign_id=campaign_id)
    if not campaign["subject"].strip() or not campaign["has_body"]:
        detail = "A test needs a subject and the message."
        raise InvalidInput(detail, [Fault("/subject" if campaign["has_body"] else "/html", detail, "missing")])
    contact = get_first_contact(conn, campaign["audience"], account_id=account_id, campaign_id=campaign_id)
    values = dict(contact["attributes"]) if contact else {}
    letter = Letter(
        subject=(SUBJECT_PREFIX + campaign["subject"])[:_SUBJECT_LENGTH_MAX], html=campaign["html"],
        text_body=campaign["text_body"], sender_id=campaign["sender_id"], tags=("test",),
    )  # fmt: skip
    message = NewMessage(to, letter, {**values, "unsubscribe_url": public_url + TEST_UNSUBSCRIBE_PATH})
    try:
        made = create_messages(conn, account_id=account_id, messages=[message], now=now, pointer="")
    except InvalidInput as error:
        faults = [Fault(fault.pointer.removeprefix("/0"), fault.detail, fault.code) for fault in error.faults]
        raise InvalidInput("The test cannot be sent.", faults, code=error.error_code) from error
    return made.message_ids[0]
