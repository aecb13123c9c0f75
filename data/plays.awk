# The stand-in for tinyshakespeare: 100 KB of scenes that nobody wrote, from a grammar and a random sequence of its own,
# so that every awk makes the same bytes:  awk -f data/plays.awk >data/builtin/plays.txt
#
# It has what a model of letters meets in plays: speakers in capitals, short lines that begin with a capital letter,
# punctuation, questions, words that agree in number, and a vocabulary small enough to be learned in a minute.

function below(n) { state = state * 16807 % 2147483647; return state % n }
function pick(list, n, words) { n = split(list, words, " "); return words[1 + below(n)] }
function capital(text) { return toupper(substr(text, 1, 1)) substr(text, 2) }

function noun() {
    return pick("crown sword letter river winter garden window candle servant brother daughter soldier captain stranger " \
        "shadow morning evening promise answer question secret heart hand voice horse ship road tower gate field storm")
}
function adjective() {
    return pick("old young bitter gentle silent golden broken hollow honest weary cruel patient distant little noble " \
        "frozen faithful narrow heavy pale")
}
function thing(number, the) {
    the = pick("the the the this that my my your our his her")
    if (number == 2 && the == "this") the = "these"
    if (number == 2 && the == "that") the = "those"
    return the (below(3) ? "" : " " adjective()) " " noun() (number == 2 ? "s" : "")
}
# The verb agrees with its subject.
function verb(number, word) {
    word = pick("keep hold fear follow forgive remember carry watch answer guard betray lose find love serve")
    if (number == 2) return word
    if (word == "carry") return "carries"
    if (word == "watch") return "watches"
    return word "s"
}
function clause(number) {
    if (!below(4)) return pick("I we you they") " " verb(2) " " thing(1 + below(2))
    number = 1 + below(2)
    return thing(number) " " verb(number) " " thing(1 + below(2))
}
function where() {
    return pick("beneath beyond beside behind before within") " " thing(1)
}
function call() { return pick("good sweet poor dear") " " pick("friend cousin sir lady master neighbour") }

function speech(lines, text) {
    lines = 1 + below(5)
    text = below(3) ? "" : pick("Alas Hark Peace Nay Come Well") ", " call() (below(2) ? "!" : ".") "\n"
    for (; lines > 0; lines--) {
        if (!below(6))
            text = text capital(pick("why when how where") " " pick("must shall should") " " pick("I we you they") " " \
                verb(2) " " thing(1)) "?\n"
        else if (!below(4))
            text = text capital(where()) ",\n" capital(clause()) (below(2) ? ";" : ".") "\n"
        else
            text = text capital(clause()) pick(", , , ; : .") "\n" capital(pick("and but for till though") " " clause()) \
                (below(8) ? "." : "!") "\n"
    }
    return text
}

BEGIN {
    state = 1
    speakers = "ALDRED BERENICE CASPIAN DORINDA EDMERE FLORIAN GWENNA HUBERT"
    ranks = "First Second Third"
    while (size < 100000) {
        name = below(4) ? pick(speakers) : pick(ranks) " " pick("Guard Miller Sailor Widow")
        if (name == last) continue
        last = name
        text = name ":\n" speech() "\n"
        size += length(text)
        printf "%s", text
    }
}
