"""How the user agents of browsers, phones and televisions are built: a grammar of people's devices, no list of robots.

The frame of every browser since 1994 is `Mozilla/version (platform) engine product/version …` (RFC 9110, 10.1.5, and
Mozilla's, Google's, Apple's and Microsoft's pages on their own strings). Beside it stand Opera until version 12, the
phones of the WAP era, which name their Java profile (UAProf: MIDP, CLDC) or WAP browser, and televisions (HbbTV,
CE-HTML). What fits none of them was not written by the maker of a browser.
"""

from __future__ import annotations

import re

import msgspec

from stackfluence.click.rules.apps import without_own_words
from stackfluence.click.rules.patterns import LONGEST, Patterns

_MOZILLA = re.compile(
    r"Mozilla ?/ ?[1-6](?:[.,]\d{1,2}|\.x)? *(?:\[[\w-]+\] *)?[;(]* *([^()]*+(?:\([^()]*+\)[^()]*+)*+)",
    re.ASCII | re.IGNORECASE,
)
_PLATFORM = Patterns(
    (
        r"\b(?:Windows|Win(?:16|32|9[58x]|NT)|Macintosh|Mac[ _](?:OS|PowerPC|PPC)|Mac OS X|X11|Linux|i(?:Phone|Pad|Pod)"
        r"|Android|BlackBerry|BB10|PlayBook|Symbian(?:OS)?|Series ?[346]0|S60|webOS|Web0S|hpwOS|PLAYSTATION"
        r"|PlayStation|PSP|PS[234]|Nintendo|Wii|Xbox|SMART-TV|SmartHub|SmartTV|MeeGo|Maemo|Tizen|Bada|Danger|hiptop"
        r"|OS/2|SunOS|(?:Free|Open|Net)BSD|DragonFly|BeOS|Haiku|Amiga(?:OS)?|AROS|MorphOS|Syllable|Kindle|CrKey|CrOS"
        r"|Fuchsia|KAIOS|Wayland|QNX|AIX|HP-UX|IRIX|Darwin|RISC OS|Sailfish|QtEmbedded|FOMA|NTTDoCoMo|DoCoMo"
        r"|DDIPOCKET|Homepage Builder|WILLCOM|Ave-?Front|jig browser|SonyEricsson|Cloud Phone|osmeta"
        r"|RemixOS|PalmOS|68K|PPC|PDA|Roku|iOS|Unix|WOW64)|^(?:Mobile|Tablet|TV|Nokia|NOKIA|AAC|rv:\d)|; rv:\d[\d.]*$"
        r"|^U;|DTV|^(?:SAMSUNG|MOT|LG|LGE|HTC|Nokia)[-; _]",
    ),
    is_folded=True,
)
_ENGINE = Patterns(
    (
        r"AppleWebKit ?[/ ]? ?\d|Gecko|KHTML|Goanna|Presto|NetFront|Trident|WebKit ?/ ?\d|Servo|Opera|Qt|IEMobile"
        r"|Ekioh|Browser/|UC AppleWebkit|Firefox/\d|Edge/\d|Chrome/\d",
    ),
    is_folded=True,
)
# browsers that said `compatible` for Netscape's sake; every other `compatible` is a robot that says so for theirs
_COMPATIBLE = Patterns(
    (
        r"MSIE +\d|MSIE$|\b(?:Ubuntu|Fedora)\b|Konqueror|iCab|OmniWeb|Opera|NetFront|AvantGo|Googl?eTV|IBrowse"
        r"|Elaine|Universal|Windows NT \d|Windows Phone|Symbian|Haiku|AROS|Syllable|Netbox|NetPositive|AmigaVoyager"
        r"|Dillo|ANTGalio|AOL-IWENG|Blazer|PalmOS|Danger|webOS|Android \d|BlackBerry|^compatible; ?U\b|Mozilla/\d"
        r"|rv:\d|Lotus-Notes",
    ),
    is_folded=True,
)
_OPERA = Patterns(
    (
        r"^(?:[\w. -]{1,40}[ .])?Opera[ /]\d[\d.]*a? ?\(?(?:Windows|X11|Mac|Linux|.*\))"
        r"|^.{0,60}\bOpera (?:Mini/\d|Mobi)",
    ),
    is_folded=False,
)
_PHONE = Patterns(
    (
        r"\bMIDP|\bCLDC|MIDP-?\d|\bUP\.(?:Browser|Link)|\bNetFront\b|\bNF3|\bObigo|\bTeleca|\bDorado|\bMAUI|\bJ2ME\b"
        r"|[Ww](?:AP|ap)[ _-]?[Bb]rowser|SEMC-Browser|\bUC(?:WEB| ?Browser)|\bOpenwave|\bBrowser/(?:AppleWeb|WAP|NF|U)"
        r"|\bSeries60|\bSymbian|\bBrowserNG|\bPOLARIS|\bPolaris|\bJasmine/|\bBREW|\bMMP/\d|\bMobileExplorer/|\bMRE[/\\]"
        r"|^DoCoMo|^KDDI-|^J-PHONE/|^SoftBank/\d|^Vodafone/\d|\bProfile/|\bRelease/\d[\d.]+ |MIB/\d"
        r"|\bBlackBerry\d{4}|\bJava-Palm|^JUC ?\(|^Android [\d.]+[; ]|\bMaui[ _]|\bUP/\d|MMEF\d|\bWapBrowser"
        r"|\bMQQBrowser/|\bMOT-|\bIEMobile|\bSonyEricsson\w|\bNintendo (?:DS|3DS|Wii)"
        r"|\bopera mini/|\bi?Browser/Mini"
        r"|\bOneBrowser/|^Palmscape/|^WinWAP/|^Nokia-Communicator|^Psion |^EricssonT|\bUNTRUSTED/1\.0|WebView/\d"
        r"|^MSFT-WP/"
        r"|^(?:ddg_android/|DDG-Android)|^Pinterest for Android"
        r"|^i(?:Phone|Pad|Pod)\w{0,12}$|\b(?:SAMSUNG|samsung|Nokia|NOKIA|HTC|LGE)\b|\bNokia\w|\bLG-|\[FBAN/|\((?:iPhone"
        r"|iPad|iPod)",
    ),
    is_folded=False,
)
_MAKER = re.compile(
    r"(?:SAMSUNG|SEC|Nokia|SonyEricsson|LGE?|MOT|Motorola|BlackBerry|HTC|HUAWEI|ZTE|Lenovo|ALCATEL|SAGEM|SIE|SHARP"
    r"|Panasonic|SANYO|PHILIPS|Micromax|Karbonn|LAVA|Spice|Videocon|Lemon|Palm|Pantech|Haier|Coolpad|OPPO|vivo|Xiaomi"
    r"|TCL|GIONEE|K-Touch|AMOI|Hisense|Kyocera|KWC|QC|NEC|Toshiba|Siemens|BenQ|Sendo|Wynncom|Intex|Celkon|Zen|Maxx"
    r"|Fly|iBall|Mastone|Sony|DoCoMo|Tecno|itel|Infinix|Asus|Acer|Dell)[-_/ ]?[\w.-]*\d[\w.+-]*(?:[/ (;]|$)",
    re.IGNORECASE,
)
_TELEVISION = Patterns(
    (
        r"\bHbbTV/\d|\bCE-HTML|\bNETTV/|SmartTvA/|SMART-TV|\bOMI/\d|\bBRAVIA\b|AQUOSBrowser|\bRoku/DVP|RokuBrowser/"
        r"|\b[Ww]ired\)"
        r"|BrightSign/|AVE-Front/|\bKodi/|InettvBrowser/|\bHybridcast/|KreaTV|OpenTV|\bsmarttv_|\bairboard "
        r"|DreamPassport/"
        r"|\bSonos/\d|^Xumo/|\bNetgem/|ANTFresco/|\bCinnamon/|\bNetCast|\bViera|\bVIERA",
    ),
    is_folded=False,
)
_TEXT = re.compile(
    r"(?:Lynx|IBM WebExplorer|E?Links|w3m|Dillo|iCab|Midori|(?:(?:NCSA|VMS|AIR|Spyglass|Quarterdeck)[ _])?Mosaic"
    r"|K-Meleon|IBrowse|AmigaVoyager|Dooble|BriskBard|Galeon|Konqueror|OWB|Netscape|Opera|Firefox|Safari|Chrome"
    r"|Internet Explorer|GNU IceCat|SeaMonkey|Mozilla Firefox|Cyberdog|Xombrero|CERN-LineMode|Emacs-w3m|mMosaic"
    r"|WinMosaic|SPRY_Mosaic|Sunrise|nook browser|GOGGalaxyClient)"
    r"(?:$|[ /]*\(?v?[\d(WMDGfV])",
    re.IGNORECASE,
)
_PROFILE = Patterns(
    (r"\bMIDP-?\d|\bCLDC-?\d|\bUP\.Browser/",),
    is_folded=False,
)
# what is left of a browser's string after a careless proxy or log, and what phones' own programs write
_REMAINS = Patterns(
    (
        r"(?s:AppleWebKit/\d.+Safari/\d)|\)[ \w/.-]{0,40} ?(?:AppleWebKit|Gecko)/\d|\bBuild/\w|[;(] ?U;"
        r"|\(compatible; MSIE \d|MSIE \d+\.\d+; Windows NT|Trident/\d.*\) like Gecko$|^(?:AppleWebKit|Gecko)/\d"
        r"|^Mozilla.{1,20}(?:Windows|Android|iPhone|iPad|Mac OS|Linux)",
    ),
    is_folded=False,
)
_PREFIXED = re.compile(r"[^<>$;(]{1,60}(?:\([^()]{1,60}\))?[;, ]{0,2}(?=Mozilla/[45]\.0 \()")
# possessive, for nothing that follows may begin with what they take: a long text is read once
_DEVICE = re.compile(
    r"(?<=; )(Android[ /-]?[\d.]*+(?:-[\w.-]++)?;(?: ?[a-zA-Z]{2}(?:[-_][a-zA-Z]{2})?;)? ?)"
    r"[^;()/]*+(?:\([^()]*+\)[^;()/]*+)*+(?:; ?Build(?=/))?+(?:(?<=Build)/[^;)]*+)?+(?=\)|; wv\))"
)
_EXPLORER = re.compile(r"\((?=[^()]*(?:MSIE \d|Trident/\d))[^()]*+(?:\([^()]*+\)[^()]*+)*+", re.ASCII)
# what people's programs and networks add, though lists of robots have a word of it
_INNOCENT_WORDS = (
    r"\brekonq\b|\bchromeframe(?:/[\d.]+)?|\bGWX:\w+"
    r"|\bGoogle Earth/|\b(?:via )?(?:translate|docs)\.google\.com[^)]*"
    r"|http://www\.QtWeb\.net|\bAnt\.com\b|\bunity3d\.com\b|,gzip\(gfe\)"
    r"|\bEmbeddedWB [\d.]+|\bEmbedded Web Browser|\bfrom: +|https?://(?:www\.)?bsalsa\.com/?|\bFirePHP/[\d.]+"
    r"|\(Google WAP Proxy/[\d.]+\)"
    r"|\bAviraScout/|\bBitdefenderSafepay/|\bFireDownload/|\bFireTorrent/|\bSplashtop|\bAtom/\d|\bCamScanner/"
    r"|\bSogou(?:MSE|MobileBrowser|Search)"
    r"|\bTesla/\S*|\bMozacFetch/"
    r"|(?<=\d) AppEngine-Google; \(\+http://code\.google\.com/appengine[^)]*\)?|\bWebCapture\b"
    r"|\bFluid(?:App)?\b|\bBlackboard/|\bCode/\d|\bSynapseWorkstation|\bbuzzfeed/|\bNewsArticle/"
    r"|\bQQ-URL-Manager|\b(?:Slack|WhatsApp|Mattermost)/[\d.]+ (?=Chrome/)|\bSlack_SSB/| Viber$|\bMSIECrawler"
    r"|\bGoogle Earth\b|\bNews/\d|\bGoogle ?TV\b|\bGoogleT5|\bGoogle-TR|\bgoogle-?play|\bcom\.google\.\w+|\bICAPoHTTPS"
    r"|DeveloperPreview/|(?<=/537\.36) Google$"
)
_INNOCENT = re.compile(_INNOCENT_WORDS, re.IGNORECASE)
_HAS_INNOCENT = Patterns((_INNOCENT_WORDS,), is_folded=True)  # ten times as quick to say that there is none
_LANGUAGE = r"[a-z]{2}(?:[-_][A-Za-z]{2})?"
# the browsers that most people have, phones' own ones and large search apps among them, by their makers' own tokens
_WORD = (
    r"(?:Version|Chrome|CriOS|FxiOS|EdgiOS|GSA|Safari|Edge?|EdgA|OPR|OPT|OPX|SamsungBrowser|YaBrowser|YaSearchBrowser"
    r"|YaSearchApp|YaApp_Android|SA|BroPP|UCBrowser|Quark|MQQBrowser|TBS|(?:XiaoMi/)?MiuiBrowser|HuaweiBrowser"
    r"|HeyTapBrowser|VivoBrowser|Silk|DuckDuckGo|Ddg)/[\d.]+(?:arm(?:64)?|/apad)?|Mobile(?:/\w{4,8})?|webOmni|\(lite\)"
)
_PLAIN = re.compile(
    r"Mozilla/5\.0 \((?:Windows NT \d+\.\d(?:; Win64; x64|; WOW64)?|Macintosh; Intel Mac OS X [\d_.]+"
    r"|X11; (?:U; )?(?:Ubuntu; )?(?:Linux|CrOS) \w+(?: [\d.]+)?"
    rf"|(?:Linux; )?(?:U; |arm(?:_64)?; )?Android \d[\d.]*; (?:{_LANGUAGE}; )?(?:K|Mobile|Tablet)(?:; wv)?"
    rf"|(?:iPhone|iPad|iPod(?: touch)?)(?:; U)?; CPU (?:iPhone )?OS [\d_]+ like Mac OS X(?:; {_LANGUAGE})?"
    r")(?:; rv:[\d.]+)?\) "
    rf"(?:AppleWebKit/[\d.]+ \(KHTML, like Gecko\)(?: (?:{_WORD}))*"
    r"( \[Pinterest/(?:Android|iOS)\]| TwitterAndroid| Twitter for i(?:Phone|Pad)| Line/[\d.]+(?:/IAB)?)?"
    r"|Gecko/(?:20100101|[\d.]+) Firefox/[\d.]+)",
    re.ASCII,
)


class Anatomy(msgspec.Struct, frozen=True, gc=False):
    """What a user agent is made of.

    `frame` is browser, opera, phone, television or text for what people use, empty for what fits none. `bare` is the
    text without the phone's model and build, what an app adds of it, and what people's programs are known to add: any
    word may be the name of a phone. `asked` is the part of it that lists of broad patterns are asked about; Internet
    Explorer's comment is not in it, because every installed program could write into it (its registry key User
    Agent\\Post Platform), nor are the strings of phones, televisions and Opera, which no list has been made against.
    `is_plain`: nothing but the words of a widespread browser, so that no list of names has anything to look for.
    `own_words` is what an app adds.
    """

    frame: str
    bare: str
    asked: str
    is_plain: bool
    own_words: str


def dissect(user_agent: str) -> Anatomy:
    """Return frame and bare text of a user agent."""
    bare, own_words = without_own_words(user_agent[:LONGEST])
    bare = bare.strip()
    if (android := bare.find("; Android")) >= 0 and (device := _DEVICE.search(bare, android + 2)):
        bare = f"{bare[: device.end(1)]}K{bare[device.end() :]}"
    if (plain := _PLAIN.fullmatch(bare)) is not None:
        return Anatomy("browser", bare, "", True, own_words or plain[1] or "")
    if _HAS_INNOCENT.fits(bare):
        bare = _INNOCENT.sub("", bare).strip()
    # an app that asks for itself leaves nothing but its own words
    frame = "phone" if bare in ("", "(null)") and "[FB" in user_agent else _frame(bare)
    asked = _EXPLORER.sub("(", bare, count=1) if frame in ("browser", "") else ""
    return Anatomy(frame, bare, asked, False, own_words)


def _frame(text: str) -> str:
    if _TELEVISION.fits(text):
        return "television"
    if _PROFILE.fits(text):
        return "phone"
    if _is_browser(text):
        return "browser"
    if "Opera" in text and _OPERA.fits(text):
        return "opera"
    if _PHONE.fits(text) or _MAKER.match(text):
        return "phone"
    if _TEXT.match(text):
        return "text"
    if "Mozilla/" in text and (prefix := _PREFIXED.match(text)) and _is_browser(text[prefix.end() :]):
        return "browser"
    return "browser" if _REMAINS.fits(text) else ""


def _is_browser(text: str) -> bool:
    found = _MOZILLA.match(text)
    if found is None:
        return False
    comment = found[1]
    if comment[:10].lower() == "compatible":
        return _COMPATIBLE.fits(comment)
    return _PLATFORM.fits(comment) or _ENGINE.fits(text[found.start(1) :])
