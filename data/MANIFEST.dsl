// The data that SPAK reads and did not make: where each file comes from, under which licence, and what it must hash to.
// `url` names one revision, so that it keeps meaning the same bytes. A file that is there already is checked, not
// fetched. `builtin` is a small stand-in that the project made itself, for machines without a network; what comes of it
// is not a result on the data set, and says so. See data/README.md.

dataset names {
  file: "names.txt"
  bytes: 228145
  sha256: "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
  url: "https://raw.githubusercontent.com/karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/names.txt"
  license: "MIT"
  source: "karpathy/makemore"
  holds: "32,033 first names, one a line; microGPT learns them"
  builtin: "data/builtin/names.txt"
  builtin_sha256: "167120cd71bd0ef71da3b451e62f4105fa496efdf59a8749716dd1cb189874b7"
}

dataset tinyshakespeare {
  file: "tinyshakespeare.txt"
  bytes: 1115394
  sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
  url: "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt"
  license: "public domain"
  source: "karpathy/char-rnn"
  holds: "40,000 lines of Shakespeare's plays; nanoGPT learns them letter by letter"
  builtin: "data/builtin/plays.txt"
  builtin_sha256: "564c49bb23032acdd0204bf086322cf4a1b3b25e11389346987a3ebe296c3a23"
}

// Every configuration of one GPU kernel's tuning space with its measured times, on three machines: a search can be
// replayed on them without a GPU, and a rule learned on one can be tried on the others.

dataset convolution_milo_a100 {
  file: "tuning/convolution_milo_A100_T4.json.gz"
  bytes: 796321
  sha256: "b5926f0996784eb4c4a344ada3f8dd8504334c898c5c4343631625ac40911fb3"
  url: "https://raw.githubusercontent.com/AutoTuningAssociation/benchmark_hub/8eeb99e7179e6838af95d392ac6c60cebfd8c434/cachefiles/convolution_milo/A100_T4.json.gz"
  license: "MIT"
  source: "AutoTuningAssociation/benchmark_hub"
  doi: "10.5281/zenodo.15364124"
  holds: "2-D convolution on an NVIDIA A100, T4 results format"
}

dataset convolution_milo_a4000 {
  file: "tuning/convolution_milo_A4000_T4.json.gz"
  bytes: 947463
  sha256: "64d138eb63a0fb2f0fc21f1f13ccde56ae7bf900945eba40306afcda2d51c161"
  url: "https://raw.githubusercontent.com/AutoTuningAssociation/benchmark_hub/8eeb99e7179e6838af95d392ac6c60cebfd8c434/cachefiles/convolution_milo/A4000_T4.json.gz"
  license: "MIT"
  source: "AutoTuningAssociation/benchmark_hub"
  doi: "10.5281/zenodo.15364124"
  holds: "2-D convolution on an NVIDIA RTX A4000, T4 results format"
}

dataset convolution_milo_a6000 {
  file: "tuning/convolution_milo_A6000_T4.json.gz"
  bytes: 1029689
  sha256: "21c53c7d8ed7ae9e2deb2fb2937ca056d64065b8bdb5fa2c8cfc1d7e8e115898"
  url: "https://raw.githubusercontent.com/AutoTuningAssociation/benchmark_hub/8eeb99e7179e6838af95d392ac6c60cebfd8c434/cachefiles/convolution_milo/A6000_T4.json.gz"
  license: "MIT"
  source: "AutoTuningAssociation/benchmark_hub"
  doi: "10.5281/zenodo.15364124"
  holds: "2-D convolution on an NVIDIA RTX A6000, T4 results format"
}
