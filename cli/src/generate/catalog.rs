//! What is taught: made-up courses, pages and films. No person has a name here.

/// Where everything lives. `example.edu` belongs to nobody (RFC 2606).
pub(super) const SITE: &str = "https://lms.example.edu";
/// The reader, the player and the quiz tool beside the learning platform.
pub(super) const READER: &str = "https://reader.example.edu";
pub(super) const PLAYER: &str = "https://media.example.edu/player";
pub(super) const QUIZZES: &str = "https://quiz.example.edu";

/// One course of the catalogue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    /// Its part of an IRI.
    pub(super) slug: &'static str,
    /// Its number as printed.
    pub(super) number: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What its weeks are about.
    pub(super) topics: [&'static str; 7],
}

/// The catalogue.
pub(super) const COURSES: [Course; 8] = [
    Course {
        slug: "bio-110",
        number: "BIO 110",
        name: "Cell Biology",
        topics: [
            "Membranes",
            "Enzymes",
            "Respiration",
            "Photosynthesis",
            "Mitosis",
            "Meiosis",
            "Gene Expression",
        ],
    },
    Course {
        slug: "chem-101",
        number: "CHEM 101",
        name: "General Chemistry",
        topics: [
            "Atoms",
            "Bonding",
            "Stoichiometry",
            "Gases",
            "Equilibrium",
            "Acids and Bases",
            "Kinetics",
        ],
    },
    Course {
        slug: "econ-201",
        number: "ECON 201",
        name: "Microeconomics",
        topics: [
            "Supply and Demand",
            "Elasticity",
            "Consumer Choice",
            "Costs",
            "Competition",
            "Monopoly",
            "Game Theory",
        ],
    },
    Course {
        slug: "hist-140",
        number: "HIST 140",
        name: "The Modern World",
        topics: [
            "Revolutions",
            "Industry",
            "Empire",
            "The Great War",
            "Depression",
            "Cold War",
            "Globalisation",
        ],
    },
    Course {
        slug: "math-220",
        number: "MATH 220",
        name: "Linear Algebra",
        topics: [
            "Vectors",
            "Matrices",
            "Determinants",
            "Subspaces",
            "Eigenvalues",
            "Orthogonality",
            "Decompositions",
        ],
    },
    Course {
        slug: "phys-150",
        number: "PHYS 150",
        name: "Mechanics",
        topics: [
            "Kinematics",
            "Forces",
            "Energy",
            "Momentum",
            "Rotation",
            "Oscillation",
            "Waves",
        ],
    },
    Course {
        slug: "psy-100",
        number: "PSY 100",
        name: "Introduction to Psychology",
        topics: [
            "Perception",
            "Learning",
            "Memory",
            "Language",
            "Emotion",
            "Development",
            "Motivation",
        ],
    },
    Course {
        slug: "stat-115",
        number: "STAT 115",
        name: "Statistics",
        topics: [
            "Samples",
            "Distributions",
            "Estimation",
            "Testing",
            "Regression",
            "Variance",
            "Experiments",
        ],
    },
];

/// What a page is, by its place in the week: type and what its name ends in.
pub(super) const PAGES: [(&str, &str); 8] = [
    ("WebPage", "Overview"),
    ("Chapter", "Foundations"),
    ("Page", "Worked Example"),
    ("Document", "Lecture Notes"),
    ("Chapter", "Applications"),
    ("WebPage", "Questions and Answers"),
    ("Page", "Summary"),
    ("Document", "Further Reading"),
];

/// Browsers of learners.
pub(super) const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
];
