// Random programs, from fixed seeds, on every arena and on every resource and adaptor: see programs/. The same programs
// are fuzzed in fuzz/.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/core/demangle.hpp>
#include <boost/mpl/list.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>
#include <ostream>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;
#include "programs/arena.hpp"
#include "programs/stack.hpp"

BOOST_AUTO_TEST_SUITE(random_programs)

BOOST_AUTO_TEST_CASE_TEMPLATE(on_an_arena, K, arenas) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      choices from(seed);
      BOOST_TEST(arena_program<K>(from).run(150) >= 150u);
    }
  }
}

BOOST_DATA_TEST_CASE(on_everything, boost::unit_test::data::make(table()), e) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      choices from(seed);
      BOOST_TEST(stack_program(e, from).run(200) == 200u);
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(all_blocks_dropped_in_any_order, K, arenas) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    rig<K> r;
    std::vector<std::span<std::byte>> blocks;
    for (int i = 0; i < 40; ++i) {
      const std::size_t bytes = 1 + random() % (i % 10 == 0 ? 3000 : 200);
      blocks.emplace_back(r.allocate(bytes, std::size_t{1} << random() % 8), bytes);
    }
    std::ranges::shuffle(blocks, random);
    for (std::span<std::byte>& dropped : blocks) r.resource().drop(std::span(&dropped, 1));
    BOOST_REQUIRE(r.resource().used() == 0u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
