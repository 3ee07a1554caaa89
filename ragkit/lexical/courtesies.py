"""Phrases that people put around a question and that ask for nothing, by language; phrases are separated by ``|``.

A greeting counts only where nothing else follows in its clause, or where a question begins: "Hello Kitty" stays. An opening
begins a clause and is followed by any number of fillings; a closing ends one. Written for ragkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Courtesies:
    """One language's phrases, lower case, apostrophes as ``'``."""

    greetings: str
    openings: str
    fillings: str
    closings: str


COURTESIES: Mapping[str, Courtesies] = {
    "english": Courtesies(
        greetings="hello there|hello everyone|hello all|hello|hi there|hi everyone|hi all|hi|hey there|hey everyone|hey all|hey|"
        "greetings|good morning|good afternoon|good evening|good day|dear all|dear sir|dear madam|dear sir or madam|dear assistant|"
        "dear team|dear friends|please|kindly|sorry|excuse me|pardon me|pardon|forgive me|question|thank you|thanks",
        openings="can you|could you|would you|will you|can someone|could someone|can anyone|could anyone|can anybody|could anybody|"
        "would someone|would anyone|can somebody|could somebody|does anyone know|does anybody know|does someone know|do you know|"
        "do any of you know|do you happen to know|do you have any idea|do you have an idea|any idea|any ideas|any chance you|"
        "i would like|i'd like|i would love|i'd love|i would really like|i'd really like|i would appreciate it if you|i would appreciate|"
        "i'd appreciate it if you|i want to know|i just want to know|i want to ask|i want to find out|i want to learn|"
        "i want to understand|i wanted to know|i wanted to ask|i wish to know|i need to know|i need to find out|i need help|"
        "i need some help|i need your help|i need an answer|i need information|i need some information|"
        "i am trying to find out|i'm trying to find out|i am trying to understand|i'm trying to understand|i am trying to learn|"
        "i'm trying to learn|i am looking for information|i'm looking for information|i was wondering|i am wondering|i'm wondering|"
        "i wonder|i was curious|i am curious|i'm curious|i have a question|i have a quick question|i have one question|"
        "i have another question|i've got a question|i got a question|i had a question|i've a question|i don't know|i do not know|"
        "just curious|just wondering|just a quick question|a quick question|quick question|one question|another question|"
        "one more question|my question is|my question|the question is|here is my question|here's my question|help me|"
        "please help me|tell me|let me know|explain to me|may i ask|can i ask|"
        "could i ask|might i ask|may i know|can i know|sorry to bother|sorry to bother you|sorry for bothering|sorry for the trouble|"
        "sorry for the question|sorry for asking|sorry if this|sorry but|we would like|we'd like|"
        "we want to know|we need to know|we are wondering|we were wondering|we have a question|answer this|answer the|"
        "answer my|it would be great if you|it would be nice if you|it would be helpful if you|i hope you|hope you|hope this|i hope this|"
        "be so kind|if you don't mind|if you do not mind|if possible|if you could|if you can|would you mind|do you mind",
        fillings="please|kindly|possibly|perhaps|maybe|just|quickly|briefly|really|and|but|that|to|me|us|you|i|we|your|my|it|be|are|is|"
        "doing well|well|can|could|would|will|may|might|if|able to|so kind|kind enough|as to|tell|telling|explain|explaining|"
        "help|helping|helped|give|giving|show|showing|share|sharing|answer|answering|inform|enlighten|point out|let|letting|"
        "know|knows|knowing|find out|finding out|find|figure out|understand|learn|ask|asking|asked|hear|see|"
        "something|anything|more|a bit|a little|some|any|a|an|the|this|these|following|question|questions|query|answer to|answers to|"
        "information|info|details|idea|ideas|out|about|on|of|for|from|with|regarding|concerning|here|in detail|anyone|someone|"
        "like|love|want|have|got|happen|mind|the trouble|bother you|bothering you|taking the time|your time|your help|"
        "is a silly question|is a stupid question|is a basic question|is off topic",
        closings="please|pls|plz|thanks|thank you|thanks a lot|thanks a million|thanks a bunch|thanks so much|thanks very much|"
        "thank you so much|thank you very much|many thanks|thx|ty|cheers|thanks again|thank you again|thanks for your help|"
        "thanks for the help|thanks for helping|thanks for any help|thank you for your help|thank you for the help|thank you for helping|"
        "thank you for any help|thank you for your time|thanks for your time|thank you for your answer|thanks for your answer|"
        "thank you very much for your help|thanks so much for your help|thank you so much for your help|thanks a lot for your help|"
        "in advance|best regards|kind regards|regards|best wishes|have a nice day|have a good day|have a great day|"
        "if you don't mind|if you do not mind|if you don't mind me asking|if i may ask|if i may|if possible|if that's possible|"
        "if it's possible|if you can|if you could|if you would|if you know|if you please|when you have time|when you have a moment|"
        "any help is appreciated|any help would be appreciated|any help would be great|any help is welcome|any ideas|"
        "any help would be greatly appreciated|any help is greatly appreciated|help is appreciated|help would be appreciated|"
        "help would be greatly appreciated|your help is appreciated|your help would be appreciated|much appreciated|"
        "would be appreciated|would be greatly appreciated|i would appreciate it|i'd appreciate it|i would appreciate your help|"
        "i'd appreciate your help|i appreciate it|i appreciate your help|i really appreciate it|can you help me|can you help|"
        "could you help me|could you help|can anyone help|can someone help|could anyone help|could someone help|please help|"
        "please help me|help me please|help please|please advise|please explain|please tell me|please let me know|let me know|"
        "could you tell me|can you tell me|do you know|does anyone know|i need your help|i need help|i need some help|for me|to me",
    ),
    "german": Courtesies(
        greetings="hallo zusammen|hallo|hi|hey|moin|servus|guten morgen|guten tag|guten abend|sehr geehrte damen und herren|liebes team|"
        "grüß gott|grüezi|bitte|entschuldigung|verzeihung|danke",
        openings="können sie|könnten sie|könntest du|kannst du|würden sie|würdest du|kann mir jemand|könnte mir jemand|kann jemand|"
        "könnte jemand|weiß jemand|weißt du|wissen sie|wisst ihr|ich möchte|ich würde gerne|ich würde gern|ich hätte gerne|ich hätte gern|"
        "ich wüsste gerne|ich wüsste gern|ich will wissen|ich wollte wissen|ich wollte fragen|ich frage mich|ich habe eine frage|"
        "ich hätte eine frage|ich habe mal eine frage|eine frage|kurze frage|meine frage ist|meine frage|ich brauche hilfe|sag mir|"
        "sagen sie mir|erklär mir|erklären sie mir|entschuldigen sie|darf ich fragen|hilf mir|helfen sie mir|"
        "wir möchten|wir würden gerne",
        fillings="bitte|mir|uns|mal|doch|vielleicht|eventuell|gerne|gern|kurz|sagen|erklären|helfen|verraten|mitteilen|beantworten|zu|und|"
        "aber|dabei|die störung|wissen|erfahren|herausfinden|fragen|verstehen|etwas|mehr|über|folgende|frage|fragen zu|eine|die|jemand|"
        "informationen|auskunft|geben",
        closings="bitte|danke|vielen dank|danke schön|dankeschön|herzlichen dank|besten dank|danke im voraus|vielen dank im voraus|"
        "vielen dank für ihre hilfe|vielen dank für deine hilfe|danke für die hilfe|danke für deine hilfe|mit freundlichen grüßen|"
        "viele grüße|liebe grüße|kannst du mir helfen|können sie mir helfen|wenn möglich|falls möglich|bitte um hilfe",
    ),
    "french": Courtesies(
        greetings="bonjour à tous|bonjour|bonsoir|salut|coucou|madame|monsieur|madame monsieur|s'il vous plaît|s'il te plaît|svp|stp|excusez-moi|"
        "excuse-moi|pardon|merci",
        openings="pouvez-vous|pourriez-vous|peux-tu|pourrais-tu|est-ce que vous pouvez|est-ce que vous pourriez|est-ce que tu peux|"
        "est-ce que quelqu'un peut|est-ce que quelqu'un sait|quelqu'un peut-il|quelqu'un sait-il|quelqu'un sait|savez-vous|sais-tu|"
        "je voudrais|j'aimerais|je souhaite|je souhaiterais|je veux savoir|je me demande|je me demandais|j'ai une question|une question|"
        "petite question|ma question est|dites-moi|dis-moi|expliquez-moi|explique-moi|"
        "désolé de vous déranger|aidez-moi|aide-moi|merci de",
        fillings="s'il vous plaît|s'il te plaît|svp|stp|me|m'|nous|moi|dire|expliquer|aider|indiquer|donner|répondre|répondre à|à|de|mais|et|"
        "savoir|connaître|comprendre|demander|trouver|la question suivante|question suivante|plus sur|des informations sur",
        closings="s'il vous plaît|s'il te plaît|svp|stp|merci|merci beaucoup|merci d'avance|merci bien|merci pour votre aide|"
        "merci pour ton aide|merci beaucoup pour votre aide|cordialement|bien à vous|si possible|je vous remercie|merci par avance",
    ),
    "spanish": Courtesies(
        greetings="hola a todos|hola|buenos días|buenas tardes|buenas noches|buenas|estimados|por favor|perdón|perdona|perdone|disculpa|disculpe|"
        "gracias",
        openings="puedes|podrías|puede|podría|pueden|podrían|me puedes|me puede|me podrías|me podría|alguien puede|alguien podría|"
        "alguien sabe|sabes|sabe usted|saben|me gustaría|quisiera|quiero saber|quería saber|quería preguntar|querría|necesito saber|"
        "necesito ayuda|me pregunto|me preguntaba|tengo una pregunta|tengo una duda|una pregunta|mi pregunta es|dime|dígame|"
        "explícame|explíqueme|ayúdame|ayúdeme",
        fillings="por favor|me|nos|decir|decirme|decirnos|explicar|explicarme|ayudar|ayudarme|indicar|indicarme|dar|darme|responder|responderme|"
        "a|con|y|pero|saber|conocer|entender|preguntar|encontrar|la siguiente pregunta|siguiente pregunta|más sobre|información sobre",
        closings="por favor|gracias|muchas gracias|mil gracias|gracias de antemano|muchas gracias de antemano|gracias por su ayuda|"
        "gracias por tu ayuda|muchas gracias por su ayuda|muchas gracias por tu ayuda|saludos|un saludo|si es posible|me puedes ayudar",
    ),
    "italian": Courtesies(
        greetings="ciao a tutti|ciao|salve|buongiorno|buonasera|buon giorno|per favore|per piacere|scusa|scusi|scusate|grazie",
        openings="puoi|potresti|può|potrebbe|potete|potreste|mi puoi|mi può|mi potresti|mi potrebbe|qualcuno può|qualcuno sa|sai|sapete|"
        "vorrei|mi piacerebbe|voglio sapere|volevo sapere|volevo chiedere|mi chiedo|mi chiedevo|ho una domanda|una domanda|"
        "la mia domanda è|dimmi|mi dica|spiegami|aiutami",
        fillings="per favore|per piacere|per cortesia|mi|ci|dire|dirmi|dirci|spiegare|spiegarmi|aiutare|aiutarmi|indicarmi|rispondere|a|e|ma|"
        "sapere|conoscere|capire|chiedere|trovare|alla seguente domanda|seguente domanda|di più su|informazioni su",
        closings="per favore|per piacere|per cortesia|grazie|grazie mille|molte grazie|tante grazie|grazie in anticipo|"
        "grazie per l'aiuto|grazie mille per l'aiuto|cordiali saluti|saluti|se possibile",
    ),
    "portuguese": Courtesies(
        greetings="olá a todos|olá|oi|bom dia|boa tarde|boa noite|por favor|desculpe|com licença|obrigado|obrigada",
        openings="pode|poderia|você pode|você poderia|podes|poderias|podem|poderiam|alguém pode|alguém poderia|alguém sabe|você sabe|sabe|"
        "sabes|eu gostaria|gostaria|eu queria|queria|quero saber|preciso saber|preciso de ajuda|tenho uma pergunta|tenho uma dúvida|"
        "uma pergunta|minha pergunta é|me diga|diga-me|me explique",
        fillings="por favor|me|nos|dizer|dizer-me|explicar|explicar-me|ajudar|ajudar-me|informar|responder|a|e|mas|de|saber|conhecer|entender|"
        "perguntar|encontrar|a seguinte pergunta|seguinte pergunta|mais sobre|informações sobre",
        closings="por favor|obrigado|obrigada|muito obrigado|muito obrigada|obrigado desde já|desde já obrigado|agradeço|"
        "obrigado pela ajuda|muito obrigado pela ajuda|atenciosamente|se possível",
    ),
    "dutch": Courtesies(
        greetings="hallo allemaal|hallo|hoi|goedemorgen|goedemiddag|goedenavond|goedendag|alstublieft|alsjeblieft|sorry|pardon|bedankt",
        openings="kunt u|kun je|kan je|zou u|zou je|kan iemand|weet iemand|weet je|weet u|ik wil graag|ik zou graag|ik wil weten|"
        "ik wilde vragen|ik vraag me af|ik vroeg me af|ik heb een vraag|een vraag|mijn vraag is|vertel me|zeg me|"
        "leg me uit|help me",
        fillings="alstublieft|alsjeblieft|mij|me|ons|misschien|even|kunnen|willen|vertellen|zeggen|uitleggen|helpen|met|om|te|en|maar|weten|"
        "vragen|begrijpen|vinden|de volgende vraag|volgende vraag|meer over|informatie over",
        closings="alstublieft|alsjeblieft|bedankt|dank je|dank u|dank je wel|dank u wel|hartelijk dank|bij voorbaat dank|"
        "alvast bedankt|bedankt voor uw hulp|bedankt voor je hulp|met vriendelijke groet|indien mogelijk",
    ),
}
