"""The lines of embed.md that sign a user's id make what ingest takes."""

import re
import shutil
import subprocess
import sys
from typing import Final

import pytest
from pydantic import SecretStr

from infra.stack.broker import ROOT
from services.web.auth import UserSigner
from tests.support.machine import skip_or_fail

KEY: Final = "a key that signs user ids"
USER: Final = "customer-17 ü"
PAGE: Final = (ROOT / "infra" / "docs" / "embed.md").read_text()

AROUND: Final = {
    "python": "import hashlib, hmac, sys\nidentity_key, user_id = sys.argv[1:]\n{line}\nprint(user_hash)",
    "js": 'import crypto from "node:crypto";\n'
    "const [identityKey, userId] = process.argv.slice(-2);\n{line}\nconsole.log(userHash);",
    "php": "[, $identity_key, $user_id] = $argv;\n{line}\necho $user_hash;",
}
COMMAND: Final = {
    "python": [sys.executable, "-c"],
    "js": ["node", "--input-type=module", "-e"],
    "php": ["php", "-r"],
}


@pytest.mark.parametrize("language", AROUND)
def test_the_line_signs_as_ingest_does(language: str) -> None:
    [line] = re.findall(rf"^```{language}\n(.*(?:hmac|Hmac).*)\n```$", PAGE, re.M)
    if shutil.which(COMMAND[language][0]) is None:
        if language == "php":
            pytest.skip("no PHP here")
        skip_or_fail("Node is missing")
    script = AROUND[language].replace("{line}", line)
    command = (
        [*COMMAND[language], script, "--", KEY, USER]
        if language == "php"
        else [*COMMAND[language], script, KEY, USER]
    )
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert UserSigner(SecretStr(KEY)).matches(USER, done.stdout)
