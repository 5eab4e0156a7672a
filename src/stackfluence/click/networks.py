"""What kind of network an autonomous system is, told from public tables that stand here and from its name.

The numbers are what the operators publish themselves (PeeringDB, the registries' whois, their own pages on addresses).
No package on PyPI or npm keeps such a table: what there is gives ranges of a few clouds, or asks a service. A name
tells the rest: an organization that calls itself a host is one, unless its name also says that it connects people.

Wrong in one direction costs a creator money, so everything that carries people wins over everything that carries
servers: relays built into browsers, gateways of corporations and schools, carriers and providers are never `hosting`.
"""

from __future__ import annotations

from stackfluence.click.rules.patterns import Tables
from stackfluence.vocabulary import NetworkClass

# iCloud Private Relay leaves through Akamai, Cloudflare and Fastly (Apple, "iCloud Private Relay Overview"), whose own
# machines fetch little; Cloudflare also carries WARP, Opera its browsers. Gateways carry whole offices.
_RELAY: dict[str, tuple[int, ...]] = {
    "Akamai": (
        12222,
        16625,
        17204,
        18680,
        18717,
        20940,
        21342,
        24319,
        31108,
        32787,
        33905,
        34164,
        35204,
        35994,
        36183,
        43639,
        55770,
        200005,
        213120,
    ),
    "Cloudflare": (13335, 14789, 132892, 202623, 203898, 209242, 394536, 395747, 400095),
    "Fastly": (54113,),
    "Opera": (21837, 39832),
    "Zscaler": (22616, 53444, 53813, 62044, 62907),
    "Netskope": (55256,),
    "Cisco Umbrella": (16417, 30238, 36692),
    "Forcepoint": (44444,),
    "Symantec Web Security": (26282,),
    "Palo Alto Networks": (54538, 396421),
}

_VPN: dict[str, tuple[int, ...]] = {
    "Mullvad": (39351, 216025),
    "Proton": (62371, 199218, 209103),
    "PacketHub, of NordVPN": (136787, 141039, 147049, 207137),
    "Njalla, of VPN": (39287,),
}

_HOSTING: dict[str, tuple[int, ...]] = {
    "Amazon": (7224, 8987, 9059, 14618, 16509, 21664, 36263, 38895, 62785, 135630),
    "Google": (15169, 19527, 36384, 36385, 41264, 43515, 139070, 139190, 394089, 394507, 394639, 395973, 396982),
    "Microsoft": (3598, 5761, 8068, 8069, 8070, 8071, 8075, 12076, 35106, 45139, 58862, 59067, 63314, 200517),
    "Oracle": (
        6142,
        11049,
        11479,
        11506,
        14544,
        15135,
        15519,
        18916,
        20037,
        20054,
        31898,
        46558,
        52019,
        54253,
        200705,
        200981,
        206209,
        393314,
        393773,
    ),
    "IBM, SoftLayer, ThePlanet": (36351,),
    "Alibaba": (24429, 37963, 45102, 134963),
    "Tencent": (45090, 132203, 132591, 133478, 137876, 139341),
    "Huawei Cloud": (55990, 63727, 131444, 136907, 141180, 200756, 206204, 206798, 265443),
    "Baidu": (38365, 38627, 55967, 63288),
    "ByteDance": (137718, 138699, 139057, 396986),
    "UCloud, Kingsoft, JD": (59019, 59077, 131486, 135377, 137753),
    "Meta": (32934, 54115, 63293),
    "Yandex": (13238, 200350, 202611, 207207, 210656),
    "Naver, Kakao, NHN": (23576, 38631, 45974),
    "OVH": (16276, 35540),
    "Hetzner": (24940, 212317, 213230, 215859),
    "DigitalOcean": (14061, 46652, 393406),
    "Linode": (48337, 63949),
    "Vultr": (20473,),
    "Scaleway, Online, Dedibox": (12876,),
    "Contabo": (40021, 51167, 141995),
    "Leaseweb, iWeb": (
        7203,
        16265,
        19148,
        27411,
        28753,
        30633,
        32613,
        38930,
        59253,
        60626,
        60781,
        133752,
        134351,
        136988,
        205544,
        393886,
        394380,
        395954,
        396190,
        396362,
    ),
    "Rackspace": (12200, 15395, 19994, 27357, 33070, 39921, 44009, 45187, 54636, 58683),
    "GoDaddy, Host Europe, Sucuri": (8972, 20773, 21499, 21501, 26496, 30148, 34011, 44273, 61157, 398101, 398108),
    "IONOS, Fasthosts, Strato": (6724, 8560, 15418, 54548),
    "Newfold, Unified Layer, PDR": (13768, 29873, 40034, 46606, 394695),
    "Namecheap": (22612,),
    "DreamHost": (26347,),
    "Liquid Web": (32244, 53824, 201682),
    "InMotion, A2": (22611, 54641, 55293),
    "Hostinger": (47583, 62282, 204915),
    "HostDime": (33182,),
    "Hivelocity": (29802,),
    "QuadraNet": (8100, 29761),
    "Psychz": (40676,),
    "ColoCrossing, HostPapa": (36352, 54500),
    "Nocix, WholeSale Internet": (32097, 33387),
    "Sharktech": (46844,),
    "FDCservers": (30058,),
    "InterServer": (19318,),
    "Enzu": (18978,),
    "Zenlayer": (4229, 21859),
    "Equinix Metal": (54825,),
    "Fly.io, Render, Heroku, Netlify, Vercel": (40509, 397273),
    "Latitude.sh": (262287, 396356),
    "M247": (9009, 16247),
    "Datacamp, CDN77": (60068, 212238),
    "Gcore": (199524, 202422, 210756),
    "Servers.com": (7979,),
    "Serverius, WorldStream, NForce, i3D": (43350, 49544, 49981, 50673),
    "Hostwinds": (54290,),
    "RamNode, BuyVM, DediPath": (3842, 35913, 53667),
    "Eonix, Serverhub": (30693, 62904),
    "ReliableSite, Total Server Solutions": (23470, 46562),
    "Krypt, Multacom, PEG Tech": (35908, 35916, 54600),
    "ServerMania, B2 Net, Cogeco Peer 1": (13768, 55286),
    "UpCloud": (25697, 202053),
    "Exoscale": (61098,),
    "Kamatera": (36007, 41436, 64022, 204548, 210329, 396948),
    "Selectel": (49505, 50340),
    "TimeWeb, Reg.ru, Beget": (9123, 197695, 198610),
    "VK Cloud": (47764,),
    "netcup, myLoc, Keyweb, aurologic": (24961, 30823, 31103, 197540),
    "IP-Projects, First Colo, accelerated, 23media": (31400, 44066, 47447, 48314),
    "Mittwald, Hostpoint, Nine, Infomaniak": (15817, 29097, 29222, 29691),
    "Loopia, One.com, GleSYS": (39570, 42708, 51468),
    "TransIP, Combell, LeaseWeb": (20857, 34762),
    "Aruba": (31034, 199883),
    "Gandi, Ikoula": (21409, 29169, 203476),
    "Sakura, GMO, Xserver": (7506, 7684, 9370, 9371, 131921, 131965),
    "Netmagic, CtrlS, E2E": (17439, 18229, 132420),
    "Steadfast, SingleHop, Internap": (
        12178,
        12179,
        12180,
        13789,
        13791,
        14742,
        14743,
        14744,
        29791,
        32181,
        32475,
        32748,
    ),
    "Voxility": (3223,),
    "Censys": (398324, 398705, 398722),
    "StackPath": (20446,),
    "Hosteur, Nexcess, Pair, Media Temple": (7859, 20021, 29854, 31815, 36444),
    "Locaweb, UOL Host": (7162, 15201, 27715),
    "xneelo, Afrihost servers": (37153,),
    "Stark Industries, PQ, Aeza, WAII": (44477, 204603, 210644, 216246),
    "IPXO, Cyber Assets and other lessors to hosts": (834,),
}

_MOBILE: dict[str, tuple[int, ...]] = {
    "United States, Canada": (6167, 20057, 21928, 22140, 22394, 36522),
    "United Kingdom, Ireland": (12576, 13280, 15751, 25135, 35228, 60339, 206067),
    "Germany, Austria, Switzerland": (6805, 8447, 12635, 25255),
    "France, Spain, Portugal, Italy": (1267, 2860, 12430, 12715, 16232, 16299, 24608, 29447, 30722, 51207),
    "Netherlands, Belgium, Nordics": (1759, 13127, 16086, 31615, 44034),
    "Poland, Czechia, Hungary, Romania, Balkans": (5483, 8374, 8953, 12302, 12912, 20845, 25472, 29247, 39603, 43447),
    "Russia, Ukraine, Kazakhstan": (8359, 15378, 15895, 16345, 21497, 25159, 31133, 31213, 34058, 41330, 206026),
    "Turkey, Israel": (12400, 15897, 16135, 20978, 47956),
    "Saudi Arabia, Emirates, Egypt, Morocco": (15802, 24835, 35819, 36903, 36935, 36992, 37069, 39891, 43766),
    "Africa": (16637, 29465, 29975, 30844, 33771, 36873, 36925, 36994, 37061, 37075, 37076, 37148, 37168),
    "India, Pakistan, Bangladesh, Sri Lanka": (18001, 24432, 24499, 38266, 45245, 45609, 45669, 55410, 55836, 59257),
    "Indonesia, Philippines, Vietnam": (4761, 4775, 7552, 10139, 18004, 23693, 24203, 45727, 131429, 132199),
    "Thailand, Malaysia, Singapore": (4657, 4818, 9534, 10030, 17547, 24378, 38466, 45143, 131445, 132061, 132618),
    "Japan, Korea": (2516, 9605, 9644, 17676, 17853, 138384),
    "China, Taiwan, Hong Kong": (9808, 17421, 24158, 24400, 24444, 56040, 56041, 56042, 56044, 56046, 56047, 56048),
    "Australia, New Zealand": (4804, 133612),
    "Latin America": (12252, 22085, 22927, 26599, 26611, 26615, 27651, 27831, 28403, 28573, 262210),
}

# providers whose names or side lines would say something else
_RESIDENTIAL: dict[str, tuple[int, ...]] = {
    "Comcast, Charter, Cox, AT&T, Verizon, CenturyLink": (
        209,
        701,
        7018,
        7922,
        10796,
        11351,
        11426,
        11427,
        12271,
        20001,
        20115,
        22773,
        33363,
    ),
    "Deutsche Telekom, Vodafone, 1&1 Versatel": (3209, 3320, 8881, 31334),
    "BT, Virgin, Sky, TalkTalk": (2856, 5089, 5607, 13285),
    "Orange, Free, SFR, Bouygues": (3215, 5410, 12322, 15557),
    "Telecom Italia, Fastweb, Telefónica": (3269, 3352, 12874),
    "NTT OCN, China Telecom, China Unicom, Korea Telecom, Chunghwa": (3462, 4134, 4713, 4766, 4837),
    "Rogers, Bell, Telus, Shaw": (577, 812, 852, 6327),
    "Starlink": (14593, 27277),
}

_BY_ASN: dict[int, NetworkClass] = {
    asn: network
    for network, table in (  # the later wins
        (NetworkClass.hosting, _HOSTING),
        (NetworkClass.vpn, _VPN),
        (NetworkClass.residential, _RESIDENTIAL),
        (NetworkClass.mobile, _MOBILE),
        (NetworkClass.relay, _RELAY),
    )
    for numbers in table.values()
    for asn in numbers
}

_SERVERS = (  # words, and names that subsidiaries of the hosts above share
    r"host(?:ing|ed|er)|\bhost|hosts?\b|cloud|data ?cent(?:er|re|rum|ro)|rechenzentrum|\bserver|server[sie]?\b"
    r"|\bvps|vps\b|\bvds\b|\bcolo\b|\bcoloc|collocation|\bdedi|rackspace|\bracks?\b|\bcdn\b|content delivery"
    r"|virtual machine|bare ?metal|\biaas\b|hébergement|alojamiento|hospedagem|\bidc\b"
    r"|amazon|\baws\b|microsoft|oracle|alibaba|aliyun|tencent|huawei|hetzner|\bovh|contabo|digital ?ocean|linode|vultr"
    r"|choopa|scaleway|leaseweb|softlayer|godaddy|ionos|profitbricks|fasthosts|equinix|internap|limestone networks"
    r"|phoenixnap|quadranet|psychz|hivelocity|sharktech|zenlayer|datacamp|\bm247|g-core|gcore|selectel|timeweb|netcup"
    r"|voxility|gigenet|atlantic\.net|codero|tierpoint|flexential|cyxtera|digital realty|iomart|memset|velia\.net"
    r"|nexeon|layered tech|webair|upcloud|kamatera|exoscale|infomaniak|worldstream|serverius"
)
_PROVIDER = (
    r"tele(?:com|kom|com+unic|fon|phon|net|vis)|comunica|broadband|breitband|\bcable|kabel|\bfib(?:re|er)|fibra|\bftth\b"
    r"|wireless|\bwi-?fi\b|\bwisp\b|internet service provider|provedor|\bisps?\b|stadtwerke"
)
_OFFICES = (
    r"universi|\bcolleges?\b|\bschools?\b|\bhospitals?\b|\bbanks?\b|government|ministry|municipal|\bcity of\b"
    r"|\bcounty\b|hostels?\b|hotels?\b|\blibrary\b|airport"
)
_PHONES = r"mobile|móvil|movil|mobil\b|cellular|\bgsm\b|\blte\b|\bpcs\b"
_TUNNELS = r"\bvpn|vpn\b"

_KINDS = (  # the first that fits: whatever carries people comes before what carries servers
    (_OFFICES, NetworkClass.unknown),
    (_PHONES, NetworkClass.mobile),
    (_PROVIDER, NetworkClass.residential),
    (_TUNNELS, NetworkClass.vpn),
    (_SERVERS, NetworkClass.hosting),
)
_BY_NAME = Tables(words for words, _ in _KINDS)


def classify(asn: int, organization: str) -> NetworkClass:
    """Return what kind of network an autonomous system is, by its number first, then by its organization's name.

    `asn` 0 is none known, `organization` empty when the database brings no names. `unknown` is the answer for most of
    the world's companies, and says nothing against anybody.
    """
    known = _BY_ASN.get(asn)
    if known is not None:
        return known
    if not asn or not organization:
        return NetworkClass.unknown
    kind = _BY_NAME.first(organization)
    return NetworkClass.unknown if kind is None else _KINDS[kind][1]
