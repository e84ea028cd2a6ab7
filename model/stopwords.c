/* Stop words by language, our own lists: articles, pronouns, prepositions, conjunctions, auxiliary
 * verbs, and what the word tokenizer leaves of contractions. In lower case and normal form C. */
#include "model/language.h"
#include "base/assert.h"

static const char *const lists[LANGUAGE_COUNT] = {
	[LANGUAGE_ARABIC] =
		"في من على إلى الى عن مع هذا هذه ذلك تلك هؤلاء الذي التي الذين اللذان اللتان ما "
		"ماذا "
		"هو هي هم هن نحن أنا انا أنت انت أنتم كان كانت كانوا يكون تكون ليس ليست لم لن لا "
		"قد لقد "
		"أن ان إن إنه إنها أنه أنها أو او ثم أم بل لكن كما كل بعض بين بعد قبل عند منذ حتى "
		"إذا اذا "
		"إلا الا غير حيث كيف أين متى لماذا هل لو لولا فيه فيها منه منها عليه عليها له لها "
		"لهم به بها "
		"وهو وهي ولا وقد أي اي أيضا هنا هناك دون ضد خلال حول",
	[LANGUAGE_CATALAN] =
		"a al als algun alguna alguns algunes allò això aquell aquella aquells aquelles "
		"aquest aquesta aquests aquestes amb aquí cada com d de del dels des doncs el ell "
		"ella elles ells els em en encara entre era eren es és esta està estan et fins ha "
		"han haver havia he hem hi ho i jo l la les li llur m més meu meva mi molt n "
		"ni no nosaltres o on per però perquè pel pels què que qual quan qui s sense ser si "
		"sobre són sou sóc sota seu seva seus seves també tan tant te tenir teu teva tu un "
		"una unes uns us va vaig van vosaltres",
	[LANGUAGE_DANISH] =
		"af alle alt anden at blev blive bliver da de dem den denne der deres det dette "
		"dig din dine disse dit dog du efter eller en end er et for fra ham han hans har "
		"havde have hende hendes her hos hun hvad hvem hver hvilken hvis hvor hvordan "
		"hvornår hvorfor i ikke ind jeg jer jeres jo kan kunne man mange med meget men "
		"mig min mine mit mod ned noget nogle nogen nu når og også om op os over på sig "
		"selv sin sine sit skal skulle som sådan så thi til ud under var vi vil ville vor "
		"være været",
	[LANGUAGE_DUTCH] =
		"aan al alles als altijd andere ben bij daar dan dat de der deze die dit doch doen "
		"door dus een eens en er ge geen geweest haar had heb hebben heeft hem het hier "
		"hij hoe hun iemand iets ik in is ja je jij jou jouw jullie kan kon kunnen maar "
		"me meer men met mij mijn moet na naar niet niets nog nu of om omdat onder ons "
		"onze ook op over reeds te tegen toch toen tot u uit uw van veel voor want waren "
		"was wat we wel werd wezen wie wij wil worden wordt zal ze zelf zich zij zijn zo "
		"zonder zou",
	[LANGUAGE_ENGLISH] =
		"a about above after again against ain all am an and any are aren as at be because "
		"been before being below between both but by can couldn d did didn do does doesn "
		"doing don down during each few for from further had hadn has hasn have haven "
		"having he her here hers herself him himself his how i if in into is isn it its "
		"itself just ll m ma me mightn more most mustn my myself needn no nor not now o of "
		"off on once only or other our ours ourselves out over own re s same shan she "
		"should shouldn so some such t than that the their theirs them themselves then "
		"there these they this those through to too under until up ve very was wasn we "
		"were weren what when where which while who whom why will with won wouldn y you "
		"your yours yourself yourselves",
	[LANGUAGE_FINNISH] =
		"ei eivät emme en et ette ehkä eli ennen että he heidän heidät heille heillä heitä "
		"hän häneen hänelle hänen hänet häntä hänessä ihan itse ja joka jonka jos joten "
		"jotka jo joita jossa jolla kaikki kanssa koska koskaan kuin kuinka kuka kun "
		"kunnes kyllä me meidän meidät meille meillä meitä mihin mikä mikään miksi "
		"millainen millä minkä minua minulla minulle minun minut minä missä mitä mitään "
		"mukaan mutta muu muut myös ne niiden niin niitä noin nuo nyt näiden nämä näin olen "
		"olemme olet olette oli olimme olin olisi olisin olit olivat olla olleet ollut on "
		"ovat se sekä sen siihen siinä siitä sillä silti sinua sinulla sinulle sinun sinut "
		"sinä sitä tai te teidän teille teillä teitä tuo tuon tämä tämän tässä tätä vaan "
		"vai vaikka",
	[LANGUAGE_FRENCH] =
		"ai aie aient ainsi ait alors as au aucun aucune aura aurait aussi autre aux avaient "
		"avais avait avant avec avez avoir avons ayant c car ce ceci cela celle celles celui "
		"ces cet cette ceux chaque chez ci comme comment d dans de depuis des donc dont du "
		"elle elles en encore entre es est et étaient étais était étant été être eu eux fut "
		"furent il ils j je l la là laquelle le lequel les leur leurs lui m ma mais me même "
		"mêmes mes moi moins mon n ne ni nos notre nous on ont ou où par parce pas pendant "
		"peu peut plus pour pourquoi puis qu quand que quel quelle quelles quels qui quoi s "
		"sa sans se sera serait seront ses si sien soi soient sois soit sommes son sont sous "
		"suis sur t ta tandis te tes toi ton tous tout toute toutes très tu un une unes vers "
		"vos votre vous y",
	[LANGUAGE_GERMAN] =
		"ab aber alle allem allen aller alles als also am an ander andere anderem anderen "
		"anderer anderes auch auf aus bei beim bin bis bist da dabei dafür damit dann das "
		"dass daß davon dazu dein deine deinem deinen deiner dem den denn der des deshalb "
		"dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein "
		"eine einem einen einer eines einige einigen er es etwas euch euer eure für gegen "
		"gewesen hab habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre "
		"ihrem ihren ihrer ihres im in indem ins ist ja jede jedem jeden jeder jedes jene "
		"jener jetzt kann kein keine keinem keinen keiner können könnte man manche mein "
		"meine meinem meinen meiner mich mir mit muss musste nach nicht nichts noch nun nur "
		"ob oder ohne sehr sein seine seinem seinen seiner seit selbst sich sie sind so "
		"solche soll sollte sondern sonst über um und uns unser unsere unter viel vom von "
		"vor während war waren warum was weil weiter welche welchem welchen welcher welches "
		"wenn wer werde werden wie wieder will wir wird wirst wo wollen worden wurde wurden "
		"würde zu zum zur zwar zwischen",
	[LANGUAGE_GREEK] =
		"ο η το οι τα του της των τον την τους τις ένας μία μια ένα ενός μιας και κι να θα "
		"δεν δε μη μην με σε σαν για από απο προς ως στο στη στην στον στους στις στα που "
		"πως πού πώς ποιος ποια ποιο ποιοι τι ότι αν αλλά όμως ή είτε ούτε είναι είμαι είσαι "
		"είμαστε είστε ήταν ήμουν έχω έχει έχουν έχουμε είχε είχαν αυτός αυτή αυτό αυτοί "
		"αυτές αυτά αυτού αυτών αυτήν αυτόν εγώ εσύ εμείς εσείς μου σου μας σας κάθε όταν "
		"όπως όπου όσο ενώ γιατί διότι επειδή κατά μετά πριν χωρίς παρά μέσα πολύ πιο",
	[LANGUAGE_HUNGARIAN] =
		"a az abban ahhoz ahogy ahol aki akik akkor alatt által általában amely amelyek "
		"amelyet ami amíg amikor annak arra arról át azért azok azon azonban aztán azt "
		"azzal be csak de e ebben eddig egy egyes egyéb egyik ehhez ekkor el elég ellen előtt "
		"én ennek erre és ez ezek ezen ezért ezt ezzel fel felé ha hanem hogy hogyan ide "
		"igen így ill illetve ilyen is itt jól kell kellett ki kívül le legalább lehet lehetett "
		"lenne lesz lett ma maga magát majd már más me meg még mely melyek mert mi miatt "
		"miért mikor milyen minden mindig mint mintha mit most nagyon ne nekem neki nélkül "
		"nem nincs ő ők őket olyan ott össze pedig persze rá s saját se sem semmi sok során "
		"szemben szerint te tehát teljes ti több úgy ugyanis új után utána vagy vagyis valaki "
		"valami vele velem viszont volna volt voltak vissza van vannak",
	[LANGUAGE_INDONESIAN] =
		"ada adalah agar akan aku anda antara apa apabila apakah atas atau bagaimana bagi "
		"bahkan bahwa banyak beberapa belum berupa bila bisa boleh bukan dalam dan dapat "
		"dari daripada demi demikian dengan di dia hanya harus hingga ia ialah ini itu jadi "
		"jangan jika juga kalau kami kamu karena ke kepada ketika kita lagi lah lain lalu "
		"lebih maka masih mereka merupakan mungkin namun oleh pada para per pernah pula pun "
		"saat saja sambil sampai sangat satu saya se sebab sebagai sebelum sebuah sedang "
		"sehingga sejak selain selalu selama semua seorang seperti serta sesudah setelah "
		"setiap siapa suatu sudah supaya tanpa tapi telah tentang terhadap tersebut tetapi "
		"tiap tidak untuk yaitu yang",
	[LANGUAGE_ITALIAN] =
		"a ad agli ai al alla alle allo alcuni altra altri altro anche ancora avere aveva "
		"avevano avuto c che chi ci come con contro cui da dagli dai dal dall dalla dalle "
		"dallo degli dei del dell della delle dello di dopo dove e è ebbe ed era erano essere "
		"essi fa fino fra fu furono gli ha hai hanno ho i il in io l la le lei li lo loro "
		"lui ma me mi mia mie miei mio ne negli nei nel nell nella nelle nello no noi non "
		"nostra nostri nostro o ogni oltre per perché però più poi prima può qual quale quali "
		"quando quanta quanto quella quelle quelli quello questa queste questi questo qui "
		"sarà se sei senza si sia siamo siete sono sta stata stati stato su sua sue sugli "
		"sui sul sulla sulle sullo suo suoi te tra tu tua tue tuo tuoi tutta tutti tutto un "
		"una uno vi voi vostra vostri vostro",
	[LANGUAGE_NORWEGIAN] =
		"alle at av bare begge ble blei bli blir blitt både da de deg dei deim deira deires "
		"dem den denne der dere deres det dette di din disse ditt du eg ein eit eller elles "
		"en enn er et ett etter for fordi fra før ha hadde ham han hans har hennar henne "
		"hennes her hun hva hvem hver hvilke hvilken hvis hvor hvordan hvorfor i ikke ikkje "
		"ingen inn jeg kan kom korleis kun kunne kva kvar kven man mange me med meg meget "
		"mellom men mer mi min mine mitt mot mye ned noe noen nokon nå når og også om opp "
		"oss over på seg selv si sia sidan siden sin sine sitt skal skulle slik so som så til "
		"um under upp ut uten var vart varte ved vere verte vi vil ville vore vors vort være "
		"vært",
	[LANGUAGE_PORTUGUESE] =
		"a à às ao aos aquela aquelas aquele aqueles aquilo as até cada com como da das de "
		"dela delas dele deles depois do dos e é ela elas ele eles em entre era eram essa "
		"essas esse esses esta está estamos estão estar estas estava estavam este estes eu "
		"foi fomos for foram fosse há haja havia isso isto já lhe lhes mais mas me mesmo meu "
		"meus minha minhas muito na não nas nem no nos nós nossa nossas nosso nossos num "
		"numa o onde os ou para pela pelas pelo pelos por porque qual quando que quem se sem "
		"ser será seu seus só sob sobre são somos sou sua suas também te tem têm tenho ter teu "
		"teus tinha tu tua tuas um uma umas uns você vocês vos",
	[LANGUAGE_ROMANIAN] =
		"a ai aceasta această aceea acel acela acele acest acesta aceste acestea acestor "
		"acolo acum al ale altă alte alți am ar are aș așa asta astfel asupra atât atunci au "
		"avea avem aveți azi ca că când căci care cărei căror cât câte câți ce cea cei cel "
		"cele celor chiar cine cineva cu cum cumva da dacă dar dat de deci deja deși din "
		"dintre două după ea ei el ele era erau este eu eram face fi fie fiecare fiind foarte "
		"fost fără i iar îi îl îmi în înainte încă între își îți la le li lor lui lângă mai "
		"mea mei mele mereu meu mi mie mine mult multă mulți nici niște noastre noastră noi "
		"nostru noștri nu o or ori oricare orice pe pentru peste poate prea prin printre sa "
		"să săi sale sau său se și sub sunt suntem sunteți ta tăi tale tău te tot toate toți "
		"tu un una unde unei unele uneori unii unor unui unul vă voastră voi vom vor vostru "
		"vreo",
	[LANGUAGE_RUSSIAN] =
		"а без более больше будет будто бы был была были было быть в вам вас весь вдруг ведь "
		"во вот впрочем все всегда всего всех всю вы где да даже два для до другой его ее её "
		"ей ему если есть еще ещё ж же за зачем здесь и из или им иногда их к как какая какой "
		"когда конечно кто куда ли лучше между меня мне много может можно мой моя мы на над "
		"надо наконец нас не него нее неё ней нельзя нет ни нибудь никогда ним них ничего но "
		"ну о об один он она они оно опять от перед по под после потом потому почти при про "
		"раз разве с сам свою себе себя сейчас со совсем так такой там тебя тем теперь то "
		"тогда того тоже только том тот три тут ты у уж уже хорошо хоть чего чей чем через что "
		"чтоб чтобы чуть эти этого этой этом этот эту это я",
	[LANGUAGE_SPANISH] =
		"a al algo algunas algunos ante antes aquel aquella aquellas aquellos aquí así aun "
		"aunque cada como cómo con contra cual cuál cuando cuándo cuyo de del desde donde "
		"dónde durante e el él ella ellas ellos en entre era eran eres es esa esas ese eso "
		"esos esta está estaba estaban estamos están estar estas este esto estos estoy fue "
		"fueron ha había habían han has hasta hay he hemos la las le les lo los más me mi mí "
		"mía mías mientras mío míos mis mucho muchos muy nada ni no nos nosotras nosotros "
		"nuestra nuestras nuestro nuestros o os otra otras otro otros para pero poco por "
		"porque pues que qué quien quién quienes se sea sean ser será si sí siendo sido sin "
		"sino sobre sois somos son soy su sus suya suyas suyo suyos también tan tanto te "
		"tendrá tenemos tener tengo ti tiene tienen toda todas todo todos tu tú tus tuya "
		"tuyas tuyo tuyos un una unas uno unos vosotras vosotros vuestra vuestro y ya yo",
	[LANGUAGE_SWEDISH] =
		"alla allt att av bara bli blir blivit blev både de dem den denna deras dess dessa "
		"det detta dig din dina ditt du där därför då efter ej eller en er era ert ett från "
		"för före ha hade han hans har hela henne hennes hon honom hur här i icke in ingen "
		"inom inte jag ju kan kunde man med mellan men mig min mina mitt mot mycket må måste "
		"nu någon något några när och också om oss på samma sedan sig sin sina sitt själv "
		"ska skall skulle som så sådan sådana sådant till under upp ur ut utan vad var vara "
		"varför varit varje vars vart vem vi vid vilka vilkas vilken vilket vill än är åt "
		"över",
	[LANGUAGE_TURKISH] =
		"acaba ama aslında ancak artık az bana bazı belki ben benden beni benim bile bir "
		"birçok biri birkaç birşey biz bizden bize bizi bizim böyle bu buna bunda bundan "
		"bunlar bunları bunların bunu bunun burada çok çünkü da daha dahi de defa değil diğer "
		"diye dolayı eğer en fakat gibi göre hem hep hepsi her herhangi herkes hiç hiçbir "
		"için ile ilgili ise işte kadar karşın kendi kendine kendini ki kim kime kimi kimse "
		"mı mi mu mü nasıl ne neden nerede nereye niçin niye o olan olarak oldu olduğu olsa "
		"olup olur ona ondan onlar onlara onları onların onu onun orada öyle oysa sadece sana "
		"sanki sen senden seni senin siz sizden size sizi sizin sonra şayet şey şeyler şöyle "
		"şu şuna şunda şunlar şunu tarafından tüm üzere var vardı ve veya ya yani yerine yine "
		"yoksa zaten",
};

const char *language_stop_words(enum language l)
{
	assert((unsigned)l < LANGUAGE_COUNT);
	return lists[l];
}
