"""What the clients call, the sandbox imitates and the tests try; the page that says so is the code's."""

from tests import endpoints

# Imitated though no client of ours calls it: path -> for whom.
FOR_OTHERS = {
    "/cgi-bin/token": "other programs still use the classic token",
    "/cgi-bin/showqrcode": "a browser opens it; the client builds the address",
    "/connect/oauth2/authorize": "a browser opens it; the client builds the address",
    "/cgi-bin/externalcontact/get_group_msg_result": "the form before 2020, which other clients still call",
    "/cgi-bin/msgaudit/check_room_agree": "the chat archive is not part of the product",
    "/cgi-bin/msgaudit/check_single_agree": "the chat archive is not part of the product",
    "/cgi-bin/msgaudit/get_permit_user_list": "the chat archive is not part of the product",
    "/cgi-bin/msgaudit/groupchat/get": "the chat archive is not part of the product",
}


def test_the_page_is_the_code_s() -> None:
    written = endpoints.TARGET.read_text("utf-8")
    assert written == endpoints.page(), "run `python3 dev.py docs`"


def test_every_call_of_a_client_is_imitated_and_tried() -> None:
    found = [one for one in endpoints.endpoints() if one.methods]
    assert len(found) > 150
    assert [one.path for one in found if not one.imitated] == []
    assert [one.path for one in found if not one.tests] == []


def test_what_only_the_sandbox_has_is_for_others() -> None:
    assert {one.path for one in endpoints.endpoints() if not one.methods} == set(FOR_OTHERS)
