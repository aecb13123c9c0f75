/* Made with CPython 3.11: random.seed(SEED), and then in this order 5 x random(), 5 x gauss(10, 3), getrandbits of
 * 1, 7, 32, 33, 53, 64, shuffle of range(12), 6 x choices(range(5), [1, 0, 2.5, 4, 0.5]), 4 x _randbelow(1000003). */
static const struct mt_vector {
    uint64_t seed;
    double random[5], gauss[5];
    uint64_t bits[6];
    size_t shuffled[12], chosen[6];
    uint64_t below[4];
} mt_vectors[] = {
    {0u,
     {0x1.b0580f98a7dbep-1, 0x1.84129978f9c1ap-1, 0x1.aeaa51052e978p-2, 0x1.092178fb945a6p-2, 0x1.05c5ccdf19707p-1},
     {0x1.6a27010c082a3p+2, 0x1.9e7f20f9c94ffp+3, 0x1.1c16affa001d9p+3, 0x1.a72a9b9e15437p+3, 0x1.14be34f931e79p+2},
     {0x1u, 0x11u, 0x48268673u, 0x123c6612fu, 0x13c9ad1846d424u, 0x40212ef7cca5a5a1u},
     {7, 6, 11, 3, 10, 0, 5, 1, 4, 2, 9, 8},
     {2, 2, 3, 2, 3, 3},
     {546678, 273145, 65304, 844132}},
    {1u,
     {0x1.132d8f91b7584p-3, 0x1.b1e2d5b3584f8p-1, 0x1.870d778409f13p-1, 0x1.0530d08f17f5cp-2, 0x1.fb5355e16737ap-2},
     {0x1.771bbe1f84610p+2, 0x1.6b80c36e049aep+3, 0x1.4a44aece8b02fp+3, 0x1.16a2047250b67p+3, 0x1.f3963d66c2227p+3},
     {0x0u, 0x4du, 0xc324c985u, 0xc4647159u, 0xe409cb2221a58u, 0xb8b6d8fe442e3d43u},
     {2, 11, 10, 8, 4, 6, 7, 0, 5, 1, 9, 3},
     {4, 3, 3, 3, 4, 3},
     {362493, 242081, 709727, 229408}},
    {42u,
     {0x1.4762f307200c5p-1, 0x1.99c6b5eeb2060p-6, 0x1.19a1491f589dcp-2, 0x1.c922b623b8c1cp-3, 0x1.7912c1468f47ep-1},
     {0x1.cbe4e8077a828p+2, 0x1.14fdbf9961cd3p+2, 0x1.95e1715e8743fp+3, 0x1.74364c09435fcp+3, 0x1.8241b10e7f717p+3},
     {0x1u, 0x4du, 0x6cb0fb3u, 0x8fadc1a6u, 0x14cbdab74d0fb1u, 0x8b8148f6b38a088cu},
     {8, 9, 5, 2, 10, 1, 11, 0, 4, 7, 3, 6},
     {2, 3, 0, 2, 2, 2},
     {277370, 846335, 45561, 765179}},
    {1099511627783u,
     {0x1.3a3761afd4291p-1, 0x1.a13cb57c0715ap-1, 0x1.e3d88c68edf49p-1, 0x1.240a3fed28776p-1, 0x1.e758a5a01babcp-2},
     {0x1.6f59d96e1d17ap+3, 0x1.2fff93f04461ap+3, 0x1.a71415a91d25ep+2, 0x1.ac17eef8b9576p+3, 0x1.dbbc89f84f55cp+2},
     {0x1u, 0x2fu, 0x39b4b12cu, 0x1d7ab560du, 0x1807d371d70e9bu, 0x2e085ea59828bf9au},
     {3, 4, 5, 1, 6, 7, 10, 0, 11, 9, 8, 2},
     {3, 3, 4, 0, 2, 3},
     {29992, 400580, 856943, 606344}},
};
