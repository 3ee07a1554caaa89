"""Word lists of the guards: small, English, written for this purpose; keys and members are casefolded."""

from __future__ import annotations


def _sets(text: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(line.split()) for line in text.strip().splitlines())


def _words(text: str) -> frozenset[str]:
    """Words between blanks; one may use _ for a blank."""
    return frozenset(word.replace("_", " ") for word in text.split())


def _map(text: str) -> dict[str, str]:
    """``name: member member`` per line, members may use _ for a blank; gives member -> name."""
    found = {}
    for line in text.strip().splitlines():
        name, members = line.split(":")
        for member in members.split():
            found[member.replace("_", " ")] = name.strip()
    return found


#: Words that carry no content of their own.
FUNCTION = _words("""
    a an the this that these those some any each every all both of in on at by for to from with about into onto over under up
    out as than then so if whether or and but nor yet because while during between among through per via within is are was
    were be been being am do does did doing done have has had having can could will would shall should may might must need i
    me my mine myself you your yours yourself he him his she her hers it its we us our ours they them their theirs who whom
    whose which what when where why how there here please just also too very really quite s d ll re ve m t let lets get gets
    got getting go goes not no never without n't ok okay hi hello hey thanks thank
""")

#: Words of asking and of politeness: paraphrases add and drop them freely.
ASKING = _words("""
    way ways best good right proper easiest simplest step steps procedure process possible able allow allowed want like tell
    explain describe define show give me know find question answer help someone anyone people one ones thing things use used
    using work works working make makes making made mean means meaning definition difference happen happens exactly actually
    currently ever still already yet much many long far often kind type types sort example examples reason reasons cause
    causes main major different various certain put take takes come comes look see say says call called etc would properly
    quickly fast ago
""")

#: Each line: words that exclude each other.
OPPOSITES = _sets("""
increase raise decrease lower reduce
higher lower
high low
highest lowest
more less fewer
most least
maximum minimum
max min
above below
over under
before after
earlier later
early late
earliest latest
first last
previous next
past upcoming future
old new
older newer
oldest newest
big small
bigger smaller
biggest smallest
large small
larger smaller
largest smallest
long short
longer shorter
longest shortest
tall short
fast slow
faster slower
fastest slowest
cheap expensive
cheaper pricier
cheapest expensive priciest
best worst
better worse
good bad
hot cold
warm cold
warmer colder
light heavy
light dark
hard soft
hard easy
easier harder
easy difficult
strong weak
stronger weaker
rich poor
full empty
open close closed shut
opening closing
start stop end
begin end
enable disable
activate deactivate
allow forbid prohibit deny block
accept decline reject refuse
approve reject
add remove delete
insert delete remove
include exclude
including excluding except
attach detach
connect disconnect
install uninstall remove
lock unlock
encrypt decrypt
import export
upload download
buy sell
buyer seller
send receive
sender receiver recipient
give receive
lend borrow
lender borrower
push pull
win lose
gain lose
pass fail
succeed fail
success failure
arrive depart leave
arrival departure
enter exit leave
deposit withdraw withdrawal
income expense
profit loss
advantage disadvantage
pro con
benefit drawback risk
import export
internal external
inside outside
indoor outdoor
public private
local remote
online offline
online onsite
domestic international
male female
man woman
men women
boy girl
boys girls
left right
north south east west
northern southern eastern western
top bottom
front back
upper lower
horizontal vertical
row column
input output
read write
save load
show hide
expand collapse
mute unmute
follow unfollow
subscribe unsubscribe
like dislike
love hate
hire fire dismiss
employ dismiss
employer employee
landlord tenant
teacher student
teach study learn
doctor patient
parent child
parents children
adult child minor
adults children minors
mother father
husband wife
son daughter
brother sister
single double triple
single married
alive dead
birth death
born die died
true false
legal illegal
safe dangerous
safe unsafe
healthy unhealthy
wet dry
sweet salty
raw cooked
boiled fried
formal informal
detailed short brief
beginner expert
junior senior
basic advanced
manual automatic
temporary permanent
absolute relative
gross net
singular plural
analog digital
static dynamic
synchronous asynchronous
ascending descending
debit credit
savings checking
weekday weekend
day night
morning afternoon evening night
noon midnight
daily weekly monthly yearly
spring summer autumn winter
new used refurbished
positive negative
acid base
plus minus
add subtract
multiply divide
encode decode
compress decompress
inhale exhale
forward backward
up down
on off
""")

#: Words that say the answer depends on when it is asked.
FRESH = _words("""
    today tonight now nowadays currently current latest newest recent recently live breaking upcoming tomorrow yesterday
    headlines news
""")
FRESH_PHRASES = (
    "at the moment", "at this moment", "right now", "as of", "so far", "up to date", "up-to-date", "this week", "this month",
    "this year", "this morning", "this evening", "this afternoon", "this weekend", "last night", "last week", "last month",
    "last year", "next week", "next month", "next year", "these days", "what time is it", "running late",
)  # fmt: skip

#: Plans, classes and editions: words that are one anywhere, words that are one beside such a noun, and the nouns.
TIERS = _words("""
    trial freemium starter hobby pro premium ultimate deluxe lite enterprise gold silver bronze platinum diamond vip
    refurbished
""")
SHY_TIERS = _words("""
    free paid basic standard growth personal individual family team teams business professional plus economy student junior
    academic education community corporate annual monthly yearly weekly full new used prepaid postpaid
""")
TIER_NOUNS = _words("""
    plan plans tier tiers version edition account accounts subscription subscriptions licence license licences membership
    member members card cards package class customers customer accounts cabin level seat ticket tickets phones
""")

#: Who acts, owns or is meant; members of one line are the same one.
PRINCIPALS = _map("""
admin: admin admins administrator administrators
manager: manager managers boss supervisor
viewer: viewer viewers
editor: editor editors
owner: owner owners
guest: guest guests visitor visitors
member: member members
employee: employee employees staff worker workers
employer: employer employers
contractor: contractor contractors freelancer freelancers self-employed
volunteer: volunteer volunteers
intern: intern interns trainee trainees
customer: customer customers client clients
supplier: supplier suppliers vendor vendors
buyer: buyer buyers purchaser
seller: seller sellers merchant merchants
landlord: landlord landlords
tenant: tenant tenants renter renters
lender: lender lenders creditor
borrower: borrower borrowers debtor
teacher: teacher teachers
student: student students pupil pupils
doctor: doctor doctors physician
patient: patient patients
nurse: nurse nurses
child: child children kid kids minor minors
adult: adult adults grown-ups
baby: baby babies infant infants toddler
senior: pensioner pensioners retiree retirees elderly
citizen: citizen citizens national
foreigner: foreigner foreigners foreign immigrant immigrants resident residents
wife: wife
husband: husband
spouse: spouse partner
mother: mother mom mum
father: father dad
parent: parent parents
son: son
daughter: daughter
brother: brother
sister: sister
friend: friend friends
girlfriend: girlfriend
boyfriend: boyfriend
colleague: colleague colleagues coworker coworkers
neighbour: neighbour neighbours neighbor neighbors
ceo: ceo
cfo: cfo
cto: cto
president: president
minister: minister
driver: driver drivers
passenger: passenger passengers
dog: dog dogs puppy
cat: cat cats kitten
men: man men male males guy guys
women: woman women female females
boys: boy boys
girls: girl girls
he: he him his
she: she her hers
they: they them their theirs
team: team's
""")

#: Verbs by what they do; members of one line do the same.
ACTIONS = _map("""
delete: delete deletes deleted deleting remove removes removed removing erase erasing
archive: archive archives archived archiving
cancel: cancel cancels cancelled canceled cancelling canceling terminate terminating
pause: pause paused pausing suspend suspended
rename: rename renamed renaming
clone: clone cloned cloning duplicate duplicating
copy: copy copied copying
move: move moved moving
merge: merge merged merging
split: split splitting
compare: compare comparing compared
share: share shared sharing
export: export exported exporting
import: import imported importing
upload: upload uploaded uploading
download: download downloaded downloading
crop: crop cropping
resize: resize resizing
print: print printing
scan: scan scanning
encrypt: encrypt encrypted encrypting
decrypt: decrypt decrypted decrypting
install: install installed installing
uninstall: uninstall uninstalled uninstalling
upgrade: upgrade upgraded upgrading
downgrade: downgrade downgrading downgraded
lock: lock locked locking
unlock: unlock unlocked unlocking
block: block blocked blocking
report: report reported reporting
activate: activate activating
deactivate: deactivate deactivating
freeze: freeze froze frozen freezing
hide: hide hiding hidden
mute: mute muted muting
start: start started starting launch
stop: stop stopped stopping
restart: restart restarting reboot
sell: sell sells selling sold
rent: rent rents renting
lend: lend lending
borrow: borrow borrowing
hire: hire hiring hired
dismiss: dismiss dismissed dismissing
resign: resign resigning
accept: accept accepting
decline: decline declining reject rejecting
translate: translate translating translated
summarise: summarise summarize summarizing
paint: paint painting
repair: repair repairing fix fixing
sue: sue suing sued
marry: marry marrying
divorce: divorce divorcing
""")

#: Languages, programming languages and programs: naming another one is asking for another answer.
TARGETS = _words("""
    english german french spanish italian portuguese dutch polish russian ukrainian turkish arabic hebrew hindi bengali urdu
    chinese mandarin japanese korean vietnamese thai greek latin swedish danish norwegian finnish czech hungarian romanian
    python java javascript typescript kotlin scala ruby rust golang php perl swift haskell lua matlab julia fortran cobol sql
    bash powershell zsh html css xml json yaml csv excel word pdf powerpoint latex markdown windows linux ubuntu debian fedora
    macos mac android ios iphone ipad chrome firefox safari edge mysql postgres postgresql sqlite mongodb oracle redis docker
    kubernetes aws azure gcp git github gitlab react angular vue django flask spring node numpy pandas whatsapp facebook
    instagram twitter snapchat tiktok linkedin youtube gmail outlook slack zoom discord skype uber lyft amazon ebay paypal
    netflix spotify
""")

#: Words that may stand for each other in a question.
SYNONYMS = _map("""
get: get obtain receive acquire
quick: quick quickly fast rapid rapidly soon
begin: begin start
buy: buy purchase order
change: change modify alter edit update switch set turn
increase: increase raise boost improve enhance
reduce: reduce lower lose decrease
delete: delete remove erase rid
create: create make build develop generate establish
price: price cost costs fee fees charge rate expensive
contact: contact reach touch
job: job career position work profession
phone: phone smartphone mobile cellphone cell
photo: photo picture image pic
film: film movie movies
big: big large huge great
luggage: luggage baggage
learn: learn study
prepare: prepare train study
earn: earn money income
booking: booking reservation book reserve
holiday: holiday vacation leave off
money: money refund cash
join: join enter become
choose: choose select pick
stop: stop quit avoid overcome
fix: fix repair solve resolve
sign: log sign login signin
end: end finish cancel close terminate
app: app application
company: company business firm startup
car: car vehicle automobile
child: child kid
country: country nation
important: important significant essential
happy: happy happiness
smart: smart intelligent clever
beautiful: beautiful pretty attractive
scared: scared afraid fear
speak: speak talk
watch: watch view see
live: live life
travel: travel trip visit tour
food: food dish meal eat
website: website site webpage web
exam: exam test examination
university: university college school
doctor: doctor physician
reply: reply respond answer response
invent: invent inventor discover
author: author write writer wrote written
need: need require required necessary must
possible: possible can able
free: free gratis
refuse: decline reject refuse
exclude: exclude excluding except
less: less fewer
recipient: receiver recipient
dismiss: fire dismiss
brief: short brief
hand: submit hand
ask: ask request
enable: enable activate
closed: close closed shut
day: day daily
support: support service help
""")

#: Words that deny. Other languages only where the text is not English.
NEGATORS = _words("""
    not no never without except neither nor none nothing nobody nowhere hardly barely rarely seldom cannot
""")
LACKING = frozenset(
    ["lack", "lacks", "lacking", "exclude", "excludes", "excluding", "unable", "fail", "fails", "failed", "free-of"]
)
FOREIGN_NEGATORS = _words("""
    nicht kein keine keinen keinem keiner nie niemals ohne außer ne pas jamais sans aucun aucune rien non nunca jamás sin
    ningún ninguna ni mai senza nessun nessuna não nao nunca sem nenhum nenhuma niet geen nooit zonder nie bez żaden nigdy не
    нет ни никогда без нельзя değil yok olmadan hiç hayır inte ingen aldrig utan ikke aldri uten ei لا ليس لم لن بدون غير नहीं
    बिना मत לא אין בלי 안 못 않 없
""")
HAN_NEGATORS = ("不", "没", "沒", "無", "无", "未", "非", "ない", "ません", "なし", "なく", "않", "없", "못")
NEGATIVE_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "non-", "mis", "de", "de-", "anti", "a")
