//! An English vocabulary, and words that nobody has seen before.

use super::Draw;

const NOUNS: &str = "account address agreement airport album answer apartment apple archive area article author balance bakery \
bank barn basket battery beach bench bicycle bill board boat book border bottle branch bread breakfast bridge budget \
building bus button cable calendar camera candle captain card carpet castle category cellar chain chair chapter charge \
chart child church circle city class climate clock cloud coast coat collection colleague column committee company \
comparison computer concert condition container contract copy corner cost cotton council country course court cousin \
customer damage data date daughter deadline decision deck degree delay delivery department deposit desk detail device \
diary dictionary difference dinner direction discount discussion distance district doctor document door draft drawer \
driver edge editor education effect engine engineer entrance entry envelope error estimate event example exchange \
exhibition expense experience experiment expert factory farmer feature fence ferry field figure file film flight floor \
flower folder food forest form friend fruit garden gate glass goal graph group guest guide gull harbour heater hill \
history holiday hospital hotel hour house idea image industry inspector instruction insurance interview invoice island \
issue item journal journey judge key kitchen label ladder lake landscape language laptop lawyer lease lesson letter \
library licence lighthouse line list loan machine magazine manager map margin market meadow meal measure meeting member \
menu message meter method minute mirror model month morning mountain museum neighbour network newspaper note notebook \
number object offer office officer operator option orchard order owner package page painter paper paragraph parent park \
part partner passage password path patient payment pencil permission person phone picture pier pilot place plan plant \
plate platform player policy pool position post price printer problem process product professor profile program project \
promise proposal purpose quality quarter question queue rain rate reader reason receipt recipe record refund region \
report request research reserve result review reward river road roof room route rule sailor salary sample schedule school \
screen season seat secret section sensor series server service session shelf shift ship shop signal sister sketch source \
speech staff stage station statistic stone storm story street student study subject suggestion suitcase summary supplier \
surface survey switch system table task teacher team temperature term test theatre theory ticket timetable tool topic \
tower town track trader train translation traveller tree trip tunnel user valley value vehicle version village visitor \
wall warehouse water weather week wheel window winter witness worker workshop writer year zone";

const VERBS: &str = "accept add adjust admire agree announce answer appear approach arrange ask assign attach avoid bake \
balance behave borrow calculate call cancel carry cause change check clean climb close collect compare complain complete \
confirm consider contact continue convert copy correct count cover create cross dance decide declare defend delay \
deliver depend describe design develop discover discuss divide double doubt earn edit enable encourage enjoy enter \
estimate examine exchange exist expand expect explain explore export extend fail fasten finish fix follow force gather \
guess guide handle happen help hope imagine import improve include increase inform inspect install invite join judge \
jump kick label land last laugh launch lean learn lift list listen load look lower mail manage mark match measure \
mention move multiply name need notice number object observe offer open order organise owe pack paint park pass pause \
phone place plant play point post pour practise prefer prepare present press print produce promise protect prove publish \
pull push question raise reach receive record reduce refuse remain remember remind remove rename repair repeat replace \
reply report request rescue respond rest return review round save scatter search select share shout sign smell smile \
solve sort sound start stay store stretch suggest supply support suppose surprise switch talk taste test thank touch \
train translate travel trust try turn use visit wait walk want warn wash watch water wonder work wrap yell";

const ADJECTIVES: &str = "active actual additional annual available average bitter blue brave brief bright broad broken busy calm \
careful central cheap clean clear clever cold common complete complex cool correct curious current daily dark deep \
different difficult digital direct dry early eastern easy empty equal exact expensive external extra fair familiar famous \
fast final fine first flat foreign formal former free fresh friendly full general gentle glad golden good grand great \
green grey half happy hard heavy high honest hot huge important independent internal joint kind large last late lazy \
light likely little local long loud low lucky main medium mild minor missing modern monthly narrow national native \
natural new nice noisy normal northern obvious odd old open ordinary original outer own past patient perfect personal \
plain pleasant polite poor popular possible present pretty previous primary private proud public pure quick quiet rare \
raw ready recent red regional regular related relevant reliable remote rich right ripe rough round rural safe second \
secure senior separate serious several sharp short silent silver similar simple single slight slow small smooth social \
soft solid southern spare special spring square stable standard steady steep straight strange strong sudden sweet tall \
technical thick thin third tidy tiny tired total typical unusual upper urban useful usual valid various visible warm \
weak weekly western wet white whole wide wild wise wooden young";

const ADVERBS: &str = "again almost already also always apparently carefully clearly closely quickly early easily eventually exactly \
finally frequently gently gradually happily hardly immediately instead later mostly nearly never normally often once \
only openly partly perhaps possibly probably quietly rarely rather recently regularly safely seldom simply slightly \
slowly sometimes soon still suddenly today together tomorrow twice usually widely yesterday";

const NAMES: &str = "Abena Adrian Aisha Amara Anders Anita Beatriz Bruno Carla Cedric Chidi Clara Daniel Darya Deepak Diego Elena \
Emeka Emil Farid Fatima Felix Freya Gabriel Greta Hana Hassan Helena Hiro Ines Ingrid Ivan Jamal Jana Javier Jonas Joana \
Kamala Karim Katya Kofi Lars Leila Lena Liam Lucia Magnus Malik Mara Marco Marta Mehmet Mei Milan Mina Nadia Naomi Nikola \
Nina Olga Omar Oscar Paula Pavel Petra Priya Rafael Rania Ravi Rosa Ruben Sami Sanna Selin Sofia Stefan Tariq Tessa Tomas \
Uma Vera Viktor Wanda Yara Yusuf Zofia";

const PLACES: &str = "Aarhus Accra Antwerp Bergen Bilbao Bologna Bordeaux Brno Bristol Cairo Cardiff Cork Cusco Dakar Dresden Dublin \
Durban Edinburgh Fez Galway Gdansk Geneva Ghent Girona Graz Haifa Hanoi Helsinki Izmir Jaipur Kyoto Lagos Leipzig Lima Lisbon \
Ljubljana Lyon Malmo Manila Marseille Mombasa Montreal Nagoya Nairobi Nantes Naples Odense Oporto Osaka Oslo Ottawa Palermo \
Perth Poznan Prague Pune Quito Riga Rotterdam Salzburg Santiago Sarajevo Seville Split Tallinn Tampere Trieste Tunis Turin \
Utrecht Valencia Vienna Vilnius Warsaw Zagreb Zurich";

const STARTS: &str = "b br c ch cl d dr f fl g gr h k l m n p pl r s sh sk st t tr v w z";
const MIDDLES: &str = "a e i o u ai ea ee io oa ou";
const ENDS: &str = "b ck d f g l ll m n nd ng nt p r rd rn s st t th v x";

/// What the English kinds are made of.
pub struct English {
    /// Singular nouns.
    pub nouns: Vec<&'static str>,
    /// Regular verbs.
    pub verbs: Vec<&'static str>,
    /// Adjectives.
    pub adjectives: Vec<&'static str>,
    /// Adverbs.
    pub adverbs: Vec<&'static str>,
    /// First names.
    pub names: Vec<&'static str>,
    /// Towns.
    pub places: Vec<&'static str>,
    parts: [Vec<&'static str>; 3],
}

impl English {
    /// The vocabulary.
    pub fn new() -> English {
        let list = |words: &'static str| words.split_ascii_whitespace().collect();
        English {
            nouns: list(NOUNS),
            verbs: list(VERBS),
            adjectives: list(ADJECTIVES),
            adverbs: list(ADVERBS),
            names: list(NAMES),
            places: list(PLACES),
            parts: [list(STARTS), list(MIDDLES), list(ENDS)],
        }
    }

    /// A noun; one in twelve is coined, as names of products and people are.
    pub fn noun(&self, draw: &mut Draw) -> String {
        if draw.one_in(12) { self.coined(draw) } else { draw.pick(&self.nouns).into() }
    }

    /// More than one of something.
    pub fn plural(&self, draw: &mut Draw) -> String {
        let noun = self.noun(draw);
        match noun.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
            _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") => noun + "es",
            _ => noun + "s",
        }
    }

    /// A verb in the past.
    pub fn past(&self, draw: &mut Draw) -> String {
        let verb = draw.pick(&self.verbs);
        match verb.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ied"),
            _ if verb.ends_with('e') => format!("{verb}d"),
            _ => format!("{verb}ed"),
        }
    }

    /// A verb's present participle.
    pub fn doing(&self, draw: &mut Draw) -> String {
        let verb = draw.pick(&self.verbs);
        format!("{}ing", verb.strip_suffix('e').unwrap_or(verb))
    }

    /// Letters and digits in one word, as in names of formats, models and roads.
    pub fn code(&self, draw: &mut Draw) -> String {
        match draw.below(5) {
            0 => format!("{}{}", draw.pick(&["A", "B", "Q", "v", "R", "M", "K"]), draw.below(90)),
            1 => format!("{}{}", draw.between(1, 64), draw.pick(&["GB", "km", "th", "kg", "px", "D", "am"])),
            2 => {
                format!("{}{}", draw.pick(&["mp", "h", "utf", "ipv", "web", "log", "sha", "win"]), draw.between(1, 12))
            }
            3 => format!("{}{}", self.coined(draw), draw.below(30)),
            _ => draw.pick(&["b2b", "H2O", "4K", "p2p", "i18n", "x86", "s3", "oauth2", "mp3", "covid19"]).into(),
        }
    }

    /// A word that has not been there before.
    pub fn coined(&self, draw: &mut Draw) -> String {
        let [starts, middles, ends] = &self.parts;
        let mut word = String::new();
        for _ in 0..draw.between(1, 2) {
            word.push_str(draw.pick(starts));
            word.push_str(draw.pick(middles));
        }
        word + draw.pick(ends)
    }

    /// The word with a capital letter.
    pub fn capital(&self, word: &str) -> String {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }
}
