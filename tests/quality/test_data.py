import hashlib

from tuibench import paths

SHA256 = "1b4fad68f09b9d86e78d136a56b5350df1f0d69dfc2147923e24a85df2609f1f"


def test_the_shipped_text_is_the_one_whose_source_is_stated():
    text = paths.evaluation_text().read_bytes()
    assert hashlib.sha256(text).hexdigest() == SHA256
    assert SHA256 in paths.evaluation_text().with_name("SOURCE.md").read_text(encoding="utf-8")
