package tickit

// The sample's own categories; events use the last four of the first nine.
var categories = [][3]string{
	{"Sports", "MLB", "Major League Baseball"},
	{"Sports", "NHL", "National Hockey League"},
	{"Sports", "NFL", "National Football League"},
	{"Sports", "NBA", "National Basketball Association"},
	{"Sports", "MLS", "Major League Soccer"},
	{"Shows", "Musicals", "Musical theatre"},
	{"Shows", "Plays", "All non-musical theatre"},
	{"Shows", "Opera", "All opera and light opera"},
	{"Concerts", "Pop", "All rock and pop music concerts"},
	{"Concerts", "Jazz", "All jazz singers and bands"},
	{"Concerts", "Classical", "All symphony, concerto, and choir concerts"},
}

var firstNames = []string{
	"Ada", "Bruno", "Cleo", "Dario", "Edith", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Leon", "Mina", "Nils",
	"Olga", "Pablo", "Quinn", "Rosa", "Sven", "Tilda", "Ugo", "Vera", "Willa", "Xena", "Yann", "Zora",
}

var lastNames = []string{
	"Abbott", "Becker", "Castro", "Dalton", "Ekberg", "Farrow", "Garner", "Hobbs", "Ibarra", "Jensen", "Keller", "Lowell",
	"Mercer", "Norris", "O'Dell", "Porter", "Quigley", "Ramos", "Sutton", "Terrell", "Ulrich", "Vance", "Whitman", "Xiong",
	"Yates", "Zimmer",
}

var cities = []struct{ name, state string }{
	{"Albany", "NY"},
	{"Austin", "TX"},
	{"Boise", "ID"},
	{"Boston", "MA"},
	{"Boulder", "CO"},
	{"Chicago", "IL"},
	{"Dallas", "TX"},
	{"Denver", "CO"},
	{"Eugene", "OR"},
	{"Fargo", "ND"},
	{"Houston", "TX"},
	{"Kent", "WA"},
	{"Las Vegas", "NV"},
	{"Los Angeles", "CA"},
	{"Memphis", "TN"},
	{"Miami", "FL"},
	{"Mobile", "AL"},
	{"Nashville", "TN"},
	{"New York City", "NY"},
	{"Oakland", "CA"},
	{"Omaha", "NE"},
	{"Phoenix", "AZ"},
	{"Portland", "OR"},
	{"Reno", "NV"},
	{"Salem", "OR"},
	{"San Francisco", "CA"},
	{"Seattle", "WA"},
	{"St. Louis", "MO"},
	{"Tampa", "FL"},
	{"Tulsa", "OK"},
}

var venueWords = []string{
	"Alder", "Beacon", "Cascade", "Dome", "Empire", "Forum", "Grand", "Harbor", "Imperial", "Jubilee", "Kings", "Liberty",
	"Majestic", "Northside", "Orpheum", "Palace", "Quarry", "Riverside", "Summit", "Union",
}

var venueKinds = []string{"Theatre", "Arena", "Hall", "Stadium", "Opera House", "Playhouse"}

// By category 6 to 9: the names of an event are one of the first list, or a
// pair of the words when the list is for made-up bands.
var shows = [4][]string{
	{"Cabaret", "Carousel", "Chess", "Chicago", "Evita", "Godspell", "Grease", "Gypsy", "Hair", "Kiss Me Kate", "Oklahoma!", "Oliver!", "Show Boat", "The Mikado"},
	{"A Doll's House", "Candida", "Hamlet", "Hedda Gabler", "King Lear", "Macbeth", "Othello", "Tartuffe", "The Cherry Orchard", "The Seagull", "The Tempest", "Twelfth Night", "Uncle Vanya", "Volpone"},
	{"Aida", "Boris Godunov", "Carmen", "Cosi Fan Tutte", "Don Giovanni", "Falstaff", "Fidelio", "La Boheme", "La Traviata", "Norma", "Rigoletto", "Salome", "Tosca", "Turandot"},
}

var bandWords = []string{
	"Amber", "Broken", "Copper", "Distant", "Electric", "Fading", "Gentle", "Hollow", "Iron", "Jagged", "Last", "Midnight",
	"Northern", "Open", "Paper", "Quiet", "Restless", "Silver", "Thirsty", "Velvet",
}

var bandNouns = []string{
	"Anchors", "Bridges", "Cables", "Deltas", "Engines", "Foxes", "Gardens", "Harvest", "Islands", "Junctions", "Kites",
	"Lanterns", "Meadows", "Nomads", "Orchards", "Pilots", "Rivers", "Satellites", "Tributaries", "Windows",
}

var weekdays = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

var months = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}

// Days of 2008 that count as holidays, as month and day.
var holidays = map[[2]int]bool{
	{1, 1}: true, {1, 21}: true, {2, 18}: true, {5, 26}: true, {7, 4}: true, {9, 1}: true, {10, 13}: true,
	{11, 11}: true, {11, 27}: true, {12, 25}: true,
}
