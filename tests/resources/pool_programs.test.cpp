// Random programs, from fixed seeds, on the pools: see programs/pool.hpp. The same programs are fuzzed in fuzz/.
#include <algorithm>
#include <array>
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory_resource>
#include <new>
#include <random>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "support/child.hpp"
import buffers;
import buffers.testing;
#include "programs/pool.hpp"

using buffers::pool_options;
using buffers::pool_resource;

namespace {

// AddressSanitizer marks each byte of a large block: few of these do.
template <class Pool = pool_resource>
void run(const pool_options& options, const mix& m, std::size_t steps, unsigned seeds) {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      choices from(seed);
      BOOST_TEST(pool_program<Pool>(options, m, from).run(steps) >= steps);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool_programs)

BOOST_AUTO_TEST_CASE(of_small_blocks) { run({}, small, 1200, 4); }
BOOST_AUTO_TEST_CASE(of_medium_blocks) { run({}, medium, 1000, 4); }
BOOST_AUTO_TEST_CASE(of_large_blocks) { run({}, large, 1500, sanitized ? 2 : 6); }
BOOST_AUTO_TEST_CASE(of_hostile_sizes) { run({}, hostile, 1500, sanitized ? 2 : 5); }
BOOST_AUTO_TEST_CASE(of_huge_blocks) { run({}, huge, sanitized ? 50 : 600, sanitized ? 1 : 4); }
BOOST_AUTO_TEST_CASE(in_small_chunks) {
  const pool_options options{.largest_chunk = 64 * kib};
  run(options, small, 800, 2);
  run(options, medium, 500, 2);
  run(options, hostile, 1000, 3);
}
BOOST_AUTO_TEST_CASE(that_keep_nothing) {
  const pool_options options{.largest_chunk = 512 * kib, .spare = 0};
  const unsigned seeds = sanitized ? 1 : 3;
  run(options, medium, 500, 2);
  run(options, large, 1500, seeds);
  run(options, hostile, 1000, seeds);
}
BOOST_AUTO_TEST_CASE(in_one_large_chunk) {
  const pool_options options{.first_chunk = 64 * mib, .spare = SIZE_MAX};
  run(options, small, 800, 2);
  run(options, hostile, 1000, 3);
}

// In one thread, of which the lists are.
BOOST_AUTO_TEST_CASE(of_the_pool_for_many_threads) {
  for (const pool_options& options : {pool_options{}, pool_options{.largest_chunk = 64 * kib, .spare = 0}}) {
    run<buffers::concurrent_pool_resource>(options, small, 500, 2);
    run<buffers::concurrent_pool_resource>(options, medium, 500, 2);
    run<buffers::concurrent_pool_resource>(options, hostile, 500, sanitized ? 1 : 3);
  }
}

// Of one size, nothing but clear() and the lists move blocks: each one that was ever made is in use or free.
BOOST_AUTO_TEST_CASE(blocks_of_one_size_are_in_use_or_free) {
  for (std::size_t size : {16uz, 64uz, 256uz, 1000uz, 5000uz}) {
    std::mt19937 random(static_cast<unsigned>(size));
    pool_resource pool;
    std::vector<void*> live;
    for (int phase = 0; phase < 40; ++phase) {
      if (phase % 13 == 12) {
        pool.clear();
        live.clear();
      }
      const std::size_t wanted = random() % 4000;
      while (live.size() < wanted) live.push_back(pool.allocate(size));
      if (phase % 2 == 0) std::ranges::shuffle(live, random);
      while (live.size() > wanted) {
        pool.deallocate(live.back(), size);
        live.pop_back();
      }
      const buffers::pool_stats stats = pool.stats();
      BOOST_REQUIRE(stats.live == live.size());
      BOOST_REQUIRE(stats.live + stats.free == stats.misses);
      BOOST_REQUIRE(stats.free_bytes == stats.free * pool_block(size));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
