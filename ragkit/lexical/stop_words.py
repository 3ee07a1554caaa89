"""Stop words: words of a language's grammar that carry no topic. Written for ragkit, short on purpose."""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORDS: Mapping[str, str] = {
    "english": "a an and are as at be been but by did do does for from had has have how if in into is it its of on or s so such "
    "t than that the their then there these they this to was were what when where which who whom why will with would",
    "german": "aber als am an auch auf aus bei bin bis bist da damit dann das dass dem den der des die dies diese diesem diesen dieser "
    "dieses du durch ein eine einem einen einer eines er es für hat hatte hatten ich ihm ihn ihr ihre im in ist ja kann man mit nach "
    "nicht noch nun nur ob oder sein seine sich sie sind so über um und uns unter vom von vor wann war waren warum was welche welchem "
    "welchen welcher welches wenn wer werden wessen wie wieso wird wo wurde wurden zu zum zur",
    "french": "à au aux avec c ce ces cet cette comment combien d dans de des du elle elles en est et était étaient été eu il ils j je l "
    "la le les leur leurs lui m ma mais me mes mon n ne nos notre nous on ont ou où par pas pour pourquoi qu quand que quel quelle "
    "quelles quels qui s sa sans se ses si son sont sur t ta te tes ton tu un une vos votre vous y",
    "spanish": "a al ante como cómo con cual cuál cuáles cuales cuando cuándo cuánto cuántos de del desde donde dónde el él ella ellas "
    "ellos en entre era eran es esa esas ese eso esos esta está están estas este esto estos fue fueron ha había han hay la las le les "
    "lo los más me mi no nos o para pero por porque qué que quién quien quiénes se ser si sin sobre son su sus también te tu un una "
    "uno unos unas y ya",
    "italian": "a ad ai al alla alle allo anche che chi ci come con cosa cui da dai dal dalla dalle dei del della delle dello di dove e è "
    "ed era erano essere fra gli ha hanno i il in io la le lei lo loro lui ma mi ne nei nel nella nelle non o per perché più qual "
    "quale quali quando quanto quanti questa queste questi questo se si sia sono stata stato su sua sue sui sul sulla suo suoi tra tu un una uno "
    "vi",
    "portuguese": "a à ao aos as às até com como da das de dela dele do dos e é ela elas ele eles em entre era eram essa esse esta está este "
    "eu foi foram há isso isto já lhe mais mas me na nas não no nos o onde os ou para pela pelas pelo pelos por porque quais qual "
    "quando quanto quantos que quem se sem ser seu seus são só sua suas também te um uma umas uns",
    "dutch": "aan al als bij dan dat de der deze die dit doen door een en er had heb heeft het hij hoe hoeveel hun ik in is je kan maar me "
    "met mijn na naar niet nog nu of om omdat onder ons ook op over te tot uit van voor waar waarom wanneer waren was wat we welke "
    "werd werden wie wij wordt worden ze zich zij zijn zo zou",
    "swedish": "alla att av de dem den denna det detta där då efter ej eller en er ett från för ha hade han har hans hon hur i inte jag kan "
    "man med men mellan mig min när nu och om på sig sin sina ska som så till under upp ut vad var varför varit vart vem vi vid "
    "vilka vilken vilket är",
    "russian": "а без бы был была были было быть в вам вас во вот все вы где да для до его ее если есть еще же за и из или им их к как какая "
    "какие какого какой какую ко когда который кто ли между мне мы на над не него нее нет ни них но о об он она они оно от по под "
    "при с со так также там то тоже только ты у уже чем что чтобы чего это этот эта эти я почему сколько",
}

STOP_WORDS: Mapping[str, tuple[str, ...]] = {language: tuple(re.findall(r"\w+", words)) for language, words in _WORDS.items()}
"""Stop words by language, under Snowball's names; some languages that have a stemmer have no list."""

ENGLISH_STOP_WORDS: tuple[str, ...] = STOP_WORDS["english"]
