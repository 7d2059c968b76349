"""Powers of ten between languages that count in thousands, and in ten thousands."""

from __future__ import annotations

import pytest

from llmcli.text import powers


@pytest.mark.parametrize(
    ("pair", "text", "converted"),
    [
        ("zh-en", "微信用户超过10亿。", "微信用户超过1 billion。"), ("zh-en", "收入3.5亿元", "收入350 million元"),
        ("zh-en", "5万元", "50,000元"), ("zh-en", "1.2万亿", "1.2 trillion"),
        ("zh-en", "12,345万", "123.45 million"), ("zh-en", "20多万人", "200,000多人"), ("zh-en", "3百万", "3 million"),
        ("zh-en", "3亿5000万元", "350 million元"), ("ja-en", "1億2345万6789円", "123.456789 million円"),
        ("ja-de", "1兆円", "1 Billion円"), ("ko-en", "35억 원", "3.5 billion 원"), ("zh-de", "3.5亿", "350 Millionen"),
        ("zh-de", "5万", "50.000"), ("zh-fr", "20亿", "2 milliards"), ("zh-fr", "10亿", "1 milliard"),
        ("en-zh", "1 billion users", "10亿 users"), ("en-zh", "3.5 million", "350万"), ("en-ja", "2 trillion", "2兆"),
        ("de-zh", "1,5 Milliarden Euro", "15亿 Euro"), ("fr-ko", "3 millions", "300만"),
        ("en-zh", "300-million", "3亿"), ("zh-en", "两万五千里", "25,000里"),
        # Chinese numerals; some are words.
        ("zh-en", "一千万人", "10 million人"), ("zh-en", "九亿八千万", "980 million"),
        ("zh-en", "千万不要", "千万不要"), ("zh-en", "万一下雨", "万一下雨"), ("zh-en", "二十五岁", "二十五岁"),
        ("zh-en", "3万米", "30,000米"), ("zh-en", "100万千瓦", "1 million千瓦"), ("ko-en", "1조 원", "1 trillion 원"),
        ("ko-en", "3조 5000억 원", "3.5 trillion 원"), ("ko-en", "2조각", "2조각"), ("ko-en", "제3조 5항", "제3조 5항"),
        ("fr-zh", "3 milles marins", "3 milles marins"), ("fr-zh", "3 mille euros", "3000 euros"),
        # What is no such number, and languages that count alike.
        ("zh-en", "3千克", "3千克"), ("zh-en", "2016年", "2016年"), ("zh-en", "1万五千人", "1万五千人"),
        ("en-zh", "15 milliseconds", "15 milliseconds"), ("en-de", "3 million", "3 million"), ("zh-ja", "3万", "3万"),
        ("zh-es", "3万", "3万"), ("zh-en", "", ""), ("zh-en", "9" * 5000 + "万", "9" * 5000 + "万"),
        ("zh-en", "一" * 50, "一" * 50),
    ],
)  # fmt: skip
def test_how_another_language_writes_them(pair: str, text: str, converted: str):
    assert powers.converted(text, *pair.split("-")) == converted


@pytest.mark.parametrize(
    ("characters", "value"),
    [("二十五", "25"), ("二〇一六", "2016"), ("十", "10"), ("一百零三", "103"), ("三千万", "30000000"),
     ("一万亿", "1000000000000"), ("九亿八千万", "980000000"), ("两千", "2000"), ("百", "100")],
)  # fmt: skip
def test_chinese_numerals(characters: str, value: str):
    assert powers.numeral(characters) == value


@pytest.mark.parametrize("piece", ["1", "一", "1万", "万", "1.", "3亿5000", "1,000"])
def test_long_texts_take_no_time(piece: str):
    """Each is read once, whatever its parts are."""
    text = piece * 20_000
    assert powers.converted(text, "zh", "en")
    assert len([*powers.values(text, "zh", scaled=True)]) <= len(text)
