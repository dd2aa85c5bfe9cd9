#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <list>
#include <memory_resource>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::exhausted;
using buffers::order_error;
using buffers::scope;
using buffers::slab_options;
using buffers::slab_resource;
using buffers::test_resource;

namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

std::span<std::byte> block(slab_resource& buffer, std::size_t bytes, std::size_t alignment = 16) {
  return {static_cast<std::byte*>(buffer.allocate(bytes, alignment)), bytes};
}

void drop_one(slab_resource& buffer, std::span<std::byte> dropped) { buffer.drop(std::span(&dropped, 1)); }

/// Slabs of one size, so that it is plain where the next one begins.
slab_options slabs_of(std::size_t bytes) { return {.first_slab = bytes, .growth = 1, .largest_slab = bytes}; }

void refuses(const slab_options& options, const std::string& field) {
  try {
    slab_resource buffer{options};
    BOOST_ERROR("accepted an option out of range: " << field);
  } catch (const std::invalid_argument& error) {
    BOOST_TEST(std::string(error.what()).contains("slab_options::" + field));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(slab)

// --- growing ---

BOOST_AUTO_TEST_CASE(nothing_is_allocated_before_the_first_request) {
  test_resource upstream;
  slab_resource buffer{{}, &upstream};
  BOOST_TEST(buffer.allocate(0) != nullptr);
  buffer.reset();
  buffer.release();
  BOOST_TEST(buffer.trim(0) == 0u);
  {
    scope inner{buffer};
    (void)buffer.checkpoint();
  }
  BOOST_TEST(upstream.allocations() == 0u);
  BOOST_TEST(buffer.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(the_first_slab_has_16_kib) {
  test_resource upstream;
  slab_resource buffer{{}, &upstream};
  (void)buffer.allocate(16 * 1024);
  BOOST_TEST(buffer.capacity() == 16u * 1024);
  BOOST_TEST(upstream.allocations() == 1u);
}

BOOST_AUTO_TEST_CASE(growth_follows_the_options) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .growth = 3, .largest_slab = 16 * 1024}, &upstream};
  std::size_t capacity = 0;
  for (std::size_t slab : {1024uz, 3072uz, 9216uz, 16384uz, 16384uz}) {
    for (std::size_t taken = 0; taken < slab; taken += 1024) (void)buffer.allocate(1024);
    capacity += slab;
    BOOST_TEST(buffer.capacity() == capacity);
    BOOST_TEST(buffer.used() == capacity);
  }
  BOOST_TEST(upstream.allocations() == 5u);
}

BOOST_AUTO_TEST_CASE(a_fractional_growth) {
  slab_resource buffer{{.first_slab = 1024, .growth = 1.5, .largest_slab = 1 << 20}};
  (void)buffer.allocate(1024);
  (void)buffer.allocate(1024);
  BOOST_TEST(buffer.capacity() == 1024u + 1536);
}

BOOST_AUTO_TEST_CASE(growing_moves_no_block) {
  slab_resource buffer{{.first_slab = 64, .growth = 2, .largest_slab = 4096}};
  std::vector<std::span<std::byte>> blocks;
  for (std::size_t i = 1; i <= 300; ++i) {
    blocks.push_back(block(buffer, i));
    std::memset(blocks.back().data(), static_cast<int>(i % 251), i);
  }
  for (std::size_t i = 1; i <= 300; ++i)
    for (std::byte byte : blocks[i - 1]) BOOST_REQUIRE(byte == std::byte(i % 251));
}

BOOST_AUTO_TEST_CASE(options_out_of_range_are_named) {
  refuses({.first_slab = 0}, "first_slab");
  refuses({.first_slab = SIZE_MAX}, "first_slab");
  refuses({.growth = 0.99}, "growth");
  refuses({.growth = 1025}, "growth");
  refuses({.growth = -1}, "growth");
  refuses({.growth = std::numeric_limits<double>::quiet_NaN()}, "growth");
  refuses({.growth = std::numeric_limits<double>::infinity()}, "growth");
  refuses({.largest_slab = 0}, "largest_slab");
  refuses({.largest_slab = SIZE_MAX}, "largest_slab");
  BOOST_CHECK_NO_THROW((slab_resource{{.first_slab = 1, .growth = 1, .largest_slab = 1}}));
  BOOST_CHECK_NO_THROW((slab_resource{{.growth = 1024}}));
}

BOOST_AUTO_TEST_CASE(a_largest_slab_below_the_first_means_the_first) {
  slab_resource buffer{{.first_slab = 4096, .growth = 2, .largest_slab = 64}};
  for (int i = 0; i < 3; ++i) (void)buffer.allocate(4096);
  BOOST_TEST(buffer.capacity() == 3u * 4096);
}

// --- blocks with memory of their own ---

BOOST_AUTO_TEST_CASE(a_block_too_large_for_a_slab_leaves_slab_and_growth_alone) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .growth = 2, .largest_slab = 4096}, &upstream};
  const std::uintptr_t first = address(buffer.allocate(16));
  void* const large = buffer.allocate(100'000);
  BOOST_TEST(buffer.used() == 100'016u);
  BOOST_TEST(address(buffer.allocate(16)) == first + 16);
  (void)buffer.allocate(1024 - 32);
  BOOST_TEST(buffer.capacity() == 1024u + 100'000);
  (void)buffer.allocate(1);
  BOOST_TEST(buffer.capacity() == 1024u + 100'000 + 2048);
  BOOST_TEST(buffer.owns(large));
  BOOST_TEST(upstream.allocations() == 3u);
}

BOOST_AUTO_TEST_CASE(an_own_block_before_the_first_slab) {
  slab_resource buffer{{.first_slab = 1024}};
  (void)buffer.allocate(100'000);
  BOOST_TEST(buffer.capacity() == 100'000u);
  (void)buffer.allocate(1024);
  BOOST_TEST(buffer.capacity() == 101'024u);
}

BOOST_AUTO_TEST_CASE(own_blocks_are_freed_in_any_order_and_kept) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  void* const a = buffer.allocate(5000);
  void* const b = buffer.allocate(6000);
  (void)buffer.allocate(16);
  buffer.deallocate(a, 5000);
  BOOST_TEST(buffer.used() == 6016u);
  BOOST_TEST(buffer.allocate(4000) == a);
  buffer.deallocate(b, 6000);
  BOOST_TEST(buffer.used() == 4016u);
  BOOST_TEST(buffer.peak() == 11'016u);
  BOOST_TEST(upstream.allocations() == 3u);
}

BOOST_AUTO_TEST_CASE(a_kept_block_serves_only_what_it_is_aligned_for_and_not_too_large_for) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  void* const a = buffer.allocate(65536, 64);
  buffer.deallocate(a, 65536, 64);
  void* const aligned = buffer.allocate(65536, 4096);  // test_resource aligns a to 64 and no more
  BOOST_TEST(address(aligned) % 4096 == 0u);
  BOOST_TEST(aligned != a);
  BOOST_TEST(upstream.allocations() == 2u);
  (void)buffer.allocate(2000);
  BOOST_TEST(upstream.allocations() == 3u);
}

BOOST_AUTO_TEST_CASE(a_large_block_in_a_loop_of_scopes_asks_upstream_once) {
  test_resource upstream;
  slab_resource buffer{{}, &upstream};
  (void)buffer.allocate(16);
  const std::size_t before = upstream.allocations();
  for (int i = 0; i < 100; ++i) {
    scope inner{buffer};
    (void)buffer.allocate(4 << 20);
  }
  BOOST_TEST(upstream.allocations() - before == 1u);
  BOOST_TEST(upstream.deallocations() == 0u);
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE(many_own_blocks_are_kept_oldest_first_too) {
  slab_resource buffer{slabs_of(1024)};
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(buffer.allocate(4096));
  const std::size_t capacity = buffer.capacity();
  for (int round = 0; round < 3; ++round)
    for (void*& block : blocks) {
      buffer.deallocate(block, 4096);
      BOOST_TEST(buffer.used() == 99u * 4096);
      block = buffer.allocate(4096);
    }
  BOOST_TEST(buffer.capacity() == capacity);
}

BOOST_AUTO_TEST_CASE(kept_blocks_are_at_most_half_as_much_again_as_was_in_use_at_once) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  for (std::size_t bytes = 10'000; bytes <= 190'000; bytes += 10'000) {
    scope inner{buffer};
    (void)buffer.allocate(bytes);
    BOOST_TEST(buffer.capacity() <= (bytes + 15) * 3 / 2);
  }
  for (std::size_t bytes = 190'000; bytes > 10'000; bytes -= 10'000) {
    scope inner{buffer};
    (void)buffer.allocate(bytes);
    BOOST_TEST(buffer.capacity() <= 190'015u * 3 / 2);
  }
  BOOST_TEST(upstream.mistakes() == 0u);
}

BOOST_AUTO_TEST_CASE(a_vector_that_grows_in_a_loop_of_scopes_asks_upstream_in_the_first_round_only) {
  test_resource upstream;
  slab_resource buffer{{}, &upstream};
  std::size_t after_first = 0;
  for (int round = 0; round < 10; ++round) {
    {
      scope inner{buffer};
      std::pmr::vector<std::byte> grown{&buffer};
      for (std::size_t bytes = 1; bytes <= 16 << 20; bytes *= 2) grown.reserve(bytes);
    }
    if (round == 0) after_first = upstream.allocations();
  }
  BOOST_TEST(upstream.allocations() == after_first);
  BOOST_TEST(upstream.deallocations() == 0u);
}

BOOST_AUTO_TEST_CASE(two_large_blocks_in_turn_ask_upstream_once_each) {
  for (const std::size_t smaller : {350'000uz, 500'000uz, 650'000uz}) {
    test_resource upstream;
    slab_resource buffer{slabs_of(1024), &upstream};
    for (int round = 0; round < 10; ++round) {
      scope inner{buffer};
      buffer.deallocate(buffer.allocate(1'000'000), 1'000'000);
      (void)buffer.allocate(smaller);
    }
    BOOST_TEST(upstream.allocations() <= 2u);
  }
}

// --- at the end of a budget ---

BOOST_AUTO_TEST_CASE(what_lies_unused_goes_upstream_before_a_request_is_refused_that_fits) {
  for (int way = 0; way < 3; ++way) {
    buffers::limit_resource budget{100'000};
    slab_resource buffer{{}, &budget};
    const auto fill = [&] {
      try {
        for (;;) (void)buffer.allocate(100);
      } catch (const exhausted&) {
      }
    };
    if (way == 0) {
      fill();
      buffer.reset();
    } else if (way == 1) {
      scope inner{buffer};
      fill();
    } else {
      void* const kept = buffer.allocate(70'000);
      buffer.deallocate(kept, 70'000);
    }
    const std::size_t held = buffer.capacity();
    BOOST_CHECK_THROW((void)buffer.allocate(100'001), exhausted);
    BOOST_TEST(buffer.capacity() == held);
    void* const large = buffer.allocate(way == 2 ? 90'000 : 60'000);
    std::memset(large, 1, 60'000);
    BOOST_TEST(budget.used() >= buffer.capacity());
  }
}

BOOST_AUTO_TEST_CASE(a_vector_that_grows_has_all_of_a_budget) {
  buffers::limit_resource budget{16 << 20};
  slab_resource buffer{{}, &budget};
  std::pmr::vector<std::byte> grown{&buffer};
  for (std::size_t bytes = 1; bytes <= 8 << 20; bytes *= 2) grown.reserve(bytes);
  BOOST_TEST(grown.capacity() == 8u << 20);
}

// --- going back ---

BOOST_AUTO_TEST_CASE(restore_keeps_the_slabs) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  (void)buffer.allocate(16);
  const auto cp = buffer.checkpoint();
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 10; ++i) (void)buffer.allocate(1000);
    BOOST_TEST(buffer.used() > 9000u);
    buffer.restore(cp);
    BOOST_TEST(buffer.used() == 16u);
  }
  BOOST_TEST(upstream.allocations() == 10u);
  BOOST_TEST(upstream.deallocations() == 0u);
}

BOOST_AUTO_TEST_CASE(checkpoints_across_slabs) {
  slab_resource buffer{slabs_of(64)};
  std::vector<slab_resource::checkpoint_type> checkpoints;
  std::vector<std::size_t> used;
  for (int i = 0; i < 20; ++i) {
    checkpoints.push_back(buffer.checkpoint());
    used.push_back(buffer.used());
    (void)buffer.allocate(24);
  }
  while (!checkpoints.empty()) {
    buffer.restore(checkpoints.back());
    BOOST_TEST(buffer.used() == used.back());
    checkpoints.pop_back();
    used.pop_back();
  }
}

BOOST_AUTO_TEST_CASE(a_checkpoint_from_before_the_first_slab) {
  slab_resource buffer{slabs_of(64)};
  const auto empty = buffer.checkpoint();
  for (int i = 0; i < 3; ++i) {
    const void* const first = buffer.allocate(64);
    (void)buffer.allocate(64);
    (void)buffer.allocate(1000);
    buffer.restore(empty);
    BOOST_TEST(buffer.used() == 0u);
    BOOST_TEST(buffer.allocate(16) == first);
    buffer.restore(empty);
  }
}

BOOST_AUTO_TEST_CASE(a_scope_from_before_the_first_slab) {
  slab_resource buffer{slabs_of(64)};
  {
    scope inner{buffer};
    for (int i = 0; i < 5; ++i) (void)buffer.allocate(64);
  }
  BOOST_TEST(buffer.used() == 0u);
  void* const block = buffer.allocate(64);
  buffer.deallocate(block, 64);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(checkpoints_after_a_trim) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  (void)buffer.allocate(1024);
  const auto full = buffer.checkpoint();
  (void)buffer.allocate(1024);
  const auto second = buffer.checkpoint();
  (void)buffer.allocate(1024);
  buffer.restore(second);
  BOOST_TEST(buffer.trim(0) == 1024u);
  buffer.restore(second);
  BOOST_TEST(buffer.used() == 2048u);
  buffer.restore(full);
  BOOST_TEST(buffer.trim(0) == 1024u);
  BOOST_CHECK_THROW(buffer.restore(second), order_error);
  BOOST_TEST(buffer.used() == 1024u);
  (void)buffer.allocate(1024);
  BOOST_CHECK_THROW(buffer.restore(second), order_error);
  buffer.restore(full);
  BOOST_TEST(buffer.used() == 1024u);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_the_empty_buffer_outlives_a_trim) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  const auto empty = buffer.checkpoint();
  (void)buffer.allocate(2000);
  buffer.restore(empty);
  (void)buffer.trim(0);
  (void)upstream.allocate(1024 + 64, 64);
  (void)buffer.allocate(100);
  buffer.restore(empty);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_dead_checkpoint_of_a_slab_that_is_not_in_use) {
  slab_resource buffer{{.first_slab = 1024}};
  (void)buffer.allocate(800);
  const auto first = buffer.checkpoint();
  (void)buffer.allocate(1500);
  const auto dead = buffer.checkpoint();
  (void)buffer.allocate(3000);
  buffer.restore(first);
  // More histories than are remembered, each dead apart from the others.
  for (int i = 0; i < 8; ++i) {
    (void)buffer.checkpoint();
    const auto cp = buffer.checkpoint();
    (void)buffer.checkpoint();
    buffer.restore(cp);
  }
  (void)buffer.allocate(3000);  // the third slab is the second one now
  const std::size_t used = buffer.used();
  BOOST_CHECK_THROW(buffer.restore(dead), order_error);
  BOOST_TEST(buffer.used() == used);
}

// --- reset ---

BOOST_AUTO_TEST_CASE(after_reset_one_slab_as_large_as_the_peak) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 256, .growth = 2, .largest_slab = 4096}, &upstream};
  const auto program = [&] {
    for (int i = 0; i < 100; ++i) (void)buffer.allocate(100);
    (void)buffer.allocate(10'000);
  };
  program();
  BOOST_TEST(upstream.live_blocks() > 3u);
  const std::size_t peak = buffer.peak();
  buffer.reset();
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.peak() == peak);
  (void)buffer.allocate(1);
  BOOST_TEST(upstream.live_blocks() == 1u);
  BOOST_TEST(buffer.capacity() >= peak);
  for (int round = 0; round < 3; ++round) {
    buffer.reset();
    const std::size_t calls = upstream.allocations() + upstream.deallocations();
    program();
    BOOST_TEST(upstream.allocations() + upstream.deallocations() == calls);
    BOOST_TEST(upstream.live_blocks() == 1u);
  }
  BOOST_TEST(upstream.mistakes() == 0u);
}

BOOST_AUTO_TEST_CASE(after_reset_one_slab_when_all_blocks_had_memory_of_their_own) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024}, &upstream};
  for (int round = 0; round < 5; ++round) {
    for (std::size_t bytes : {70'000uz, 30'000uz, 70'000uz}) (void)buffer.allocate(bytes);
    BOOST_TEST(upstream.live_blocks() == (round == 0 ? 3u : 1u));
    buffer.reset();
  }
  BOOST_TEST(upstream.allocations() == 4u);
}

BOOST_AUTO_TEST_CASE(own_blocks_of_a_round_do_not_count_in_the_next) {
  slab_resource buffer;
  (void)buffer.allocate(100);
  (void)buffer.allocate(10 << 20);
  buffer.reset();
  (void)buffer.trim(0);
  (void)buffer.allocate(100);
  buffer.reset();
  (void)buffer.allocate(100);
  BOOST_TEST(buffer.capacity() == 16u * 1024);
}

BOOST_AUTO_TEST_CASE(a_slab_after_a_trim_is_of_whole_lines) {
  slab_resource buffer;
  for (int i = 0; i < 10; ++i) (void)buffer.allocate(10'000);
  buffer.reset();
  (void)buffer.trim(20'001);
  (void)buffer.allocate(1);
  BOOST_TEST(buffer.capacity() % 64 == 0u);
}

BOOST_AUTO_TEST_CASE(after_reset_one_slab_for_own_blocks_of_odd_sizes) {
  test_resource upstream;
  slab_resource buffer{slabs_of(64), &upstream};
  const auto program = [&] {
    for (int i = 0; i < 100; ++i) {
      (void)buffer.allocate(16);
      (void)buffer.allocate(65);
    }
  };
  program();
  for (int round = 0; round < 3; ++round) {
    buffer.reset();
    program();
    BOOST_TEST(upstream.live_blocks() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(reset_of_what_lay_in_one_slab_keeps_it) {
  test_resource upstream;
  slab_resource buffer{{}, &upstream};
  const void* const first = buffer.allocate(1000);
  for (int i = 0; i < 5; ++i) {
    buffer.reset();
    BOOST_TEST(buffer.allocate(1000) == first);
  }
  BOOST_TEST(upstream.allocations() == 1u);
}

BOOST_AUTO_TEST_CASE(reset_makes_do_with_what_there_is_when_upstream_has_none) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  for (int i = 0; i < 4; ++i) (void)buffer.allocate(1024);
  upstream.set_allocation_limit(0);
  buffer.reset();
  for (int i = 0; i < 4; ++i) (void)buffer.allocate(1024);
  BOOST_TEST(buffer.used() == 4096u);
  BOOST_CHECK_THROW((void)buffer.allocate(1), std::bad_alloc);
  BOOST_TEST(buffer.used() == 4096u);
}

BOOST_AUTO_TEST_CASE(a_failed_request_after_a_reset_changes_nothing) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  for (int i = 0; i < 4; ++i) (void)buffer.allocate(1024);
  buffer.reset();
  const std::size_t capacity = buffer.capacity(), calls = upstream.allocations() + upstream.deallocations();
  for (std::size_t bytes : {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 15}) {
    BOOST_CHECK_THROW((void)buffer.allocate(bytes), std::bad_alloc);
    BOOST_TEST(buffer.capacity() == capacity);
  }
  BOOST_TEST(upstream.allocations() + upstream.deallocations() == calls);
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)buffer.allocate(1 << 20), std::bad_alloc);
  BOOST_TEST(buffer.capacity() == capacity);
  upstream.set_allocation_limit(1);
  BOOST_CHECK_NO_THROW((void)buffer.allocate(1 << 20));
  BOOST_TEST(buffer.capacity() == capacity + (1 << 20));
}

BOOST_AUTO_TEST_CASE(a_failed_reshape_after_a_reset_changes_nothing) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  for (int i = 0; i < 4; ++i) (void)buffer.allocate(1024);
  buffer.reset();
  const std::size_t capacity = buffer.capacity();
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)buffer.reshape(1 << 20), std::bad_alloc);
  BOOST_TEST(buffer.capacity() == capacity);
  BOOST_CHECK_NO_THROW((void)buffer.allocate(1024));
}

BOOST_AUTO_TEST_CASE(a_round_that_begins_with_a_larger_block_than_ever) {
  test_resource upstream;
  {
    slab_resource buffer{{.first_slab = 256, .growth = 2, .largest_slab = 1 << 20}, &upstream};
    for (std::size_t bytes : {1000uz, 3000uz, 9000uz, 27000uz, 81000uz}) {
      for (int i = 0; i < 5; ++i) {
        std::memset(buffer.allocate(bytes), 1, bytes);
        std::memset(buffer.allocate(bytes / 10), 2, bytes / 10);
      }
      BOOST_TEST(buffer.used() >= 5 * (bytes + bytes / 10));
      BOOST_TEST(buffer.used() <= buffer.capacity());
      buffer.reset();
    }
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(reset_over_an_initial_buffer_that_was_too_small) {
  alignas(64) std::array<std::byte, 1024> storage;
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .initial_buffer = storage}, &upstream};
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 3; ++i) (void)buffer.allocate(1024);
    buffer.reset();
  }
  BOOST_TEST(upstream.live_blocks() == 1u);
}

// --- fixed size ---

BOOST_AUTO_TEST_CASE(not_extendable) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .extendable = false}, &upstream};
  BOOST_TEST(!buffer.extendable());
  BOOST_CHECK_THROW((void)buffer.allocate(1025), exhausted);
  BOOST_TEST(upstream.allocations() == 0u);
  (void)buffer.allocate(1000);
  try {
    (void)buffer.allocate(17);
    BOOST_ERROR("17 bytes do not fit behind 1008 of 1024");
  } catch (const exhausted& full) {
    BOOST_TEST(full.requested() == 17u);
    BOOST_TEST(full.available() == 16u);
    BOOST_TEST(full.capacity() == 1024u);
  }
  BOOST_TEST(buffer.used() == 1000u);
  (void)buffer.allocate(16);
  buffer.set_extendable();
  BOOST_TEST(buffer.extendable());
  (void)buffer.allocate(16);
  BOOST_TEST(buffer.capacity() == 1024u + 2048);
  buffer.set_extendable(false);
  BOOST_CHECK_THROW((void)buffer.allocate(3000), exhausted);
  BOOST_TEST(upstream.allocations() == 2u);
}

BOOST_AUTO_TEST_CASE(exhausted_says_what_was_asked_for_and_not_its_padding) {
  slab_resource buffer{{.first_slab = 1024, .extendable = false}};
  (void)buffer.allocate(1000);
  try {
    (void)buffer.allocate(100, 256);
    BOOST_ERROR("100 bytes do not fit behind 1008 of 1024");
  } catch (const exhausted& full) {
    BOOST_TEST(full.requested() == 100u);
  }
}

BOOST_AUTO_TEST_CASE(an_over_aligned_block_as_large_as_the_buffer) {
  alignas(64) std::array<std::byte, 4096> storage;
  slab_resource over_storage{{.extendable = false, .initial_buffer = storage}};
  slab_resource of_one_slab{{.first_slab = 4096, .extendable = false}};
  for (slab_resource* const buffer : {&over_storage, &of_one_slab})
    for (int round = 0; round < 2; ++round) {
      BOOST_CHECK_THROW((void)buffer->allocate(4097, 64), exhausted);
      BOOST_CHECK_NO_THROW((void)buffer->allocate(4096, 64));
      BOOST_TEST(buffer->used() == 4096u);
      buffer->release();
    }
  slab_resource extendable{slabs_of(4096)};
  (void)extendable.allocate(100);
  (void)extendable.allocate(4096, 64);
  BOOST_TEST(extendable.capacity() == 2u * 4096);
  (void)extendable.allocate(4096, 128);  // where the slab will lie is not known
  BOOST_TEST(extendable.capacity() == 3u * 4096);
}

BOOST_AUTO_TEST_CASE(a_kept_slab_that_the_alignment_does_not_suit) {
  alignas(4096) std::array<std::byte, 4096> storage;
  slab_resource buffer{{.extendable = false, .initial_buffer = std::span(storage).subspan(64, 1024)}};
  BOOST_TEST(address(buffer.allocate(64, 1024)) == address(&storage[1024]));
  buffer.reset();
  BOOST_CHECK_THROW((void)buffer.allocate(65, 1024), exhausted);
  BOOST_CHECK_THROW((void)buffer.allocate(64, 2048), exhausted);
  BOOST_CHECK_THROW((void)buffer.allocate(64, 1uz << 30), exhausted);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(exhausted_before_the_initial_buffer_was_touched) {
  alignas(64) std::array<std::byte, 1024> storage;
  slab_resource buffer{{.extendable = false, .initial_buffer = storage}};
  for (int round = 0; round < 2; ++round) {
    try {
      (void)buffer.allocate(1025);
      BOOST_ERROR("1025 bytes do not fit into 1024");
    } catch (const exhausted& full) {
      BOOST_TEST(full.requested() == 1025u);
      BOOST_TEST(full.available() == 1024u);
      BOOST_TEST(full.capacity() == 1024u);
    }
    (void)buffer.allocate(512);
    buffer.release();
  }
}

BOOST_AUTO_TEST_CASE(initial_buffer) {
  alignas(64) std::array<std::byte, 1024> storage;
  test_resource upstream;
  {
    slab_resource buffer{{.first_slab = 4096, .initial_buffer = storage}, &upstream};
    BOOST_TEST(buffer.capacity() == 1024u);
    BOOST_TEST(buffer.allocate(1000) == storage.data());
    BOOST_TEST(upstream.allocations() == 0u);
    (void)buffer.allocate(1000);
    BOOST_TEST(buffer.capacity() == 1024u + 4096);
    BOOST_TEST(upstream.allocations() == 1u);
    buffer.release();
    BOOST_TEST(buffer.capacity() == 1024u);
    BOOST_TEST(upstream.live_blocks() == 0u);
    BOOST_TEST(buffer.allocate(1) == storage.data());
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(an_initial_buffer_too_small_for_a_block_is_left_alone) {
  alignas(16) std::array<std::byte, 32> storage;
  slab_resource buffer{{.initial_buffer = std::span(storage).subspan(1, 20)}};
  BOOST_TEST(buffer.capacity() == 0u);
  BOOST_TEST(!buffer.owns(&storage[16]));
  BOOST_TEST(buffer.allocate(8) != nullptr);
}

BOOST_AUTO_TEST_CASE(a_fixed_buffer_after_reset_is_the_same_buffer) {
  alignas(64) std::array<std::byte, 1024> storage;
  slab_resource buffer{{.extendable = false, .initial_buffer = storage}};
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(buffer.allocate(1024) == storage.data());
    BOOST_CHECK_THROW((void)buffer.allocate(1), exhausted);
    buffer.reset();
  }
}

// --- trim and release ---

BOOST_AUTO_TEST_CASE(trim_keeps_what_is_in_use_and_keep_bytes) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  (void)buffer.allocate(1024);
  {
    scope inner{buffer};
    for (int i = 0; i < 5; ++i) (void)buffer.allocate(1024);
    BOOST_TEST(buffer.trim(0) == 0u);
  }
  BOOST_TEST(buffer.trim(5 * 1024) == 0u);
  BOOST_TEST(buffer.trim(2 * 1024 + 1) == 3u * 1024);
  BOOST_TEST(buffer.capacity() == 3u * 1024);
  BOOST_TEST(buffer.trim(0) == 2u * 1024);
  BOOST_TEST(buffer.capacity() == 1024u);
  BOOST_TEST(upstream.live_blocks() == 1u);
}

BOOST_AUTO_TEST_CASE(the_first_slab_after_a_trim_of_all_is_as_large_as_ever) {
  slab_resource buffer{{.first_slab = 64 * 1024}};
  for (int round = 0; round < 3; ++round) {
    void* const block = buffer.allocate(100);
    BOOST_TEST(buffer.capacity() == 64u * 1024);
    buffer.deallocate(block, 100);
    BOOST_TEST(buffer.trim(0) == 64u * 1024);
    buffer.reset();
  }
  for (int i = 0; i < 100; ++i) static_cast<void>(buffer.allocate(1024));
  buffer.reset();
  BOOST_TEST(buffer.trim(0) > 64u * 1024);
  buffer.reset();
  static_cast<void>(buffer.allocate(10));
  BOOST_TEST(buffer.capacity() == 64u * 1024);
}

BOOST_AUTO_TEST_CASE(trim_gives_kept_own_blocks) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  void* const large = buffer.allocate(4096);
  (void)buffer.allocate(16);
  buffer.deallocate(large, 4096);
  BOOST_TEST(buffer.trim(4096) == 0u);
  BOOST_TEST(buffer.trim(4095) == 4096u);
  BOOST_TEST(upstream.live_blocks() == 1u);
}

BOOST_AUTO_TEST_CASE(trim_of_an_empty_buffer_gives_all) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  void* const a = buffer.allocate(1024);
  buffer.deallocate(a, 1024);
  BOOST_TEST(buffer.trim(0) == 1024u);
  BOOST_TEST(buffer.capacity() == 0u);
  BOOST_TEST(upstream.live_blocks() == 0u);
  for (int i = 0; i < 3; ++i) (void)buffer.allocate(1024);
  buffer.reset();
  BOOST_TEST(buffer.trim(0) == 3u * 1024);
  BOOST_TEST(upstream.live_blocks() == 0u);
  BOOST_TEST(buffer.allocate(1) != nullptr);
}

BOOST_AUTO_TEST_CASE(trim_gives_slabs_from_below_an_initial_buffer_too) {
  alignas(64) std::array<std::byte, 256> storage;
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .growth = 1, .largest_slab = 1024, .initial_buffer = storage}, &upstream};
  (void)buffer.allocate(256);
  (void)buffer.allocate(1024);
  buffer.reset();
  (void)buffer.allocate(1024);  // in the one slab for all; the initial buffer is a spare now
  const auto cp = buffer.checkpoint();
  (void)buffer.allocate(1024);  // too large for the initial buffer
  (void)buffer.allocate(256);
  (void)buffer.allocate(1024);
  buffer.restore(cp);
  const std::size_t before = upstream.live_bytes();
  BOOST_TEST(buffer.trim(0) > 0u);
  BOOST_TEST(upstream.live_bytes() < before);
  BOOST_TEST(upstream.live_blocks() == 1u);
}

BOOST_AUTO_TEST_CASE(a_dead_checkpoint_keeps_no_slab) {
  slab_resource buffer;
  const auto start = buffer.checkpoint();
  (void)buffer.allocate(10);
  (void)buffer.checkpoint();
  buffer.restore(start);
  BOOST_TEST(buffer.trim(0) == 16u * 1024);
}

BOOST_AUTO_TEST_CASE(trim_in_a_scope_that_began_in_an_empty_slab) {
  slab_resource buffer{{.first_slab = 64, .growth = 4}};
  buffer.deallocate(buffer.allocate(16), 16);
  {
    scope inner{buffer};
    buffer.deallocate(buffer.allocate(200), 200);  // in the second slab, which stays current
    BOOST_TEST(buffer.trim(0) == 256u);            // the first one is the scope's
    BOOST_TEST(buffer.capacity() == 64u);
    (void)buffer.allocate(64);
  }
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.trim(0) == 64u);
}

// As a bump_resource as upstream needs it.
BOOST_AUTO_TEST_CASE(release_gives_the_newest_slab_first) {
  bump_resource upstream{std::size_t{1} << 20};
  slab_resource buffer{{}, &upstream};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100; ++i) (void)buffer.allocate(1000);
    buffer.release();
    BOOST_TEST(upstream.used() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(growth_goes_on_from_what_trim_left) {
  slab_resource buffer;
  std::size_t before = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 1000; ++i) (void)buffer.allocate(100);
    if (round > 1) BOOST_TEST(buffer.capacity() == before);
    before = buffer.capacity();
    buffer.reset();
    buffer.trim(0);
  }
  BOOST_TEST(before < 200'000u);
}

BOOST_AUTO_TEST_CASE(the_rest_of_a_budget_is_a_slab) {
  buffers::limit_resource budget{100'000};
  slab_resource buffer{&budget};
  BOOST_CHECK_THROW(for (;;)(void) buffer.allocate(100), exhausted);
  BOOST_TEST(buffer.used() > 85'000u);  // 100 of 112 bytes each
  const std::size_t used = buffer.used(), capacity = buffer.capacity();
  BOOST_CHECK_THROW((void)buffer.allocate(1000), exhausted);
  BOOST_TEST(buffer.used() == used);
  BOOST_TEST(buffer.capacity() == capacity);
  BOOST_TEST(budget.used() <= 100'000u);
}

BOOST_AUTO_TEST_CASE(release_gives_all_upstream_and_starts_over) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .growth = 2, .largest_slab = 1 << 20}, &upstream};
  for (int i = 0; i < 10; ++i) (void)buffer.allocate(1000);
  (void)buffer.allocate(1 << 21);
  buffer.release();
  BOOST_TEST(upstream.live_blocks() == 0u);
  BOOST_TEST(buffer.capacity() == 0u);
  BOOST_TEST(buffer.used() == 0u);
  (void)buffer.allocate(1000);
  BOOST_TEST(buffer.capacity() == 1024u);
}

// --- failing ---

BOOST_AUTO_TEST_CASE(a_failed_request_changes_nothing) {
  test_resource upstream;
  slab_resource buffer{slabs_of(1024), &upstream};
  const std::uintptr_t first = address(buffer.allocate(100));
  upstream.set_allocation_limit(0);
  for (std::size_t bytes : {1000uz, 1024uz, 5000uz}) {
    BOOST_CHECK_THROW((void)buffer.allocate(bytes), std::bad_alloc);
    BOOST_TEST(buffer.used() == 100u);
    BOOST_TEST(buffer.peak() == 100u);
    BOOST_TEST(buffer.capacity() == 1024u);
  }
  BOOST_TEST(address(buffer.allocate(100)) == first + 112);
}

// --- the newest block ---

BOOST_AUTO_TEST_CASE(newest_blocks_are_given_back) {
  slab_resource buffer;
  void* const a = buffer.allocate(10);
  void* const b = buffer.allocate(32);
  buffer.deallocate(b, 32);
  BOOST_TEST(buffer.allocate(20) == b);
  buffer.deallocate(b, 20);
  buffer.deallocate(a, 10);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(over_aligned_blocks_in_lifo_order_give_all_back) {
  slab_resource buffer;
  void* const a = buffer.allocate(8);
  void* const b = buffer.allocate(8, 64);
  void* const c = buffer.allocate(8);
  void* const d = buffer.allocate(8, 1024);
  buffer.deallocate(d, 8, 1024);
  buffer.deallocate(c, 8);
  buffer.deallocate(b, 8, 64);
  buffer.deallocate(a, 8);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(blocks_of_many_slabs_in_lifo_order_give_all_back) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .largest_slab = 4096}, &upstream};
  std::size_t capacity = 0;
  for (int round = 0; round < 10; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i) blocks.push_back(i % 10 == 9 ? buffer.allocate(5000, 64) : buffer.allocate(300));
    for (std::size_t i = blocks.size(); i-- > 0;)
      i % 10 == 9 ? buffer.deallocate(blocks[i], 5000, 64) : buffer.deallocate(blocks[i], 300);
    BOOST_TEST(buffer.used() == 0u);
    BOOST_TEST((round == 0 || buffer.capacity() == capacity));
    capacity = buffer.capacity();
  }
  BOOST_TEST(buffer.peak() < capacity);
}

BOOST_AUTO_TEST_CASE(a_list_that_shrinks_from_its_end_gives_all_back) {
  slab_resource buffer{slabs_of(1024)};
  std::pmr::list<int> numbers{&buffer};
  for (int i = 0; i < 2000; ++i) numbers.push_back(i);
  while (!numbers.empty()) numbers.pop_back();
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(freeing_below_the_slab_that_a_scope_began_in_waits_for_its_end) {
  slab_resource buffer{slabs_of(1024)};
  void* const a = buffer.allocate(1000);
  void* const b = buffer.allocate(1000);
  buffer.deallocate(b, 1000);
  {
    scope inner{buffer};  // in the second slab, which is empty
    buffer.deallocate(a, 1000);
    BOOST_TEST(buffer.used() == 1000u);
    void* const c = buffer.allocate(1000);
    BOOST_TEST(c == b);
  }
  BOOST_TEST(buffer.used() == 1000u);
}

BOOST_AUTO_TEST_CASE(resizing_the_newest_block) {
  slab_resource buffer{slabs_of(1024)};
  void* const a = buffer.allocate(16);
  void* const b = buffer.allocate(16);
  void* const large = buffer.allocate(5000);
  BOOST_TEST(!buffer.try_expand(a, 16, 20));
  BOOST_TEST(!buffer.try_expand(large, 5000, 5001));
  BOOST_TEST(!buffer.try_expand(b, 16, 1009));
  BOOST_TEST(buffer.try_expand(b, 16, 1008));
  BOOST_TEST(buffer.used() == 1024u + 5000);
  BOOST_TEST(!buffer.shrink(a, 16, 8));
  BOOST_TEST(buffer.shrink(b, 1008, 1));
  BOOST_TEST(buffer.used() == 17u + 5000);
  BOOST_TEST(buffer.peak() == 1024u + 5000);
}

// --- dropping ---

BOOST_AUTO_TEST_CASE(dropping_in_any_order_across_slabs_and_own_blocks) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    test_resource upstream;
    slab_resource buffer{{.first_slab = 256, .growth = 1.5, .largest_slab = 2048}, &upstream};
    std::vector<std::span<std::byte>> blocks;
    for (int i = 0; i < 40; ++i)
      blocks.push_back(block(buffer, 1 + random() % (i % 8 == 0 ? 5000 : 200), std::size_t{1} << random() % 8));
    std::ranges::shuffle(blocks, random);
    while (!blocks.empty()) {
      const std::size_t count = std::min<std::size_t>(blocks.size(), 1 + random() % 3);
      buffer.drop(std::span(blocks).last(count));
      blocks.resize(blocks.size() - count);
    }
    BOOST_TEST(buffer.used() == 0u);
    (void)buffer.trim(0);
    BOOST_TEST(upstream.live_blocks() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(an_empty_upper_slab_is_left_when_its_last_block_is_dropped) {
  slab_resource buffer{slabs_of(64)};
  const auto a = block(buffer, 64), b = block(buffer, 64), c = block(buffer, 64);
  drop_one(buffer, b);
  BOOST_TEST(buffer.used() == 192u);
  drop_one(buffer, c);
  BOOST_TEST(buffer.used() == 64u);
  drop_one(buffer, a);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.allocate(64) == a.data());
}

BOOST_AUTO_TEST_CASE(a_drop_below_an_open_scope_is_reclaimed_when_it_ends) {
  slab_resource buffer{slabs_of(64)};
  const auto a = block(buffer, 64), b = block(buffer, 64);
  {
    scope inner{buffer};
    (void)buffer.allocate(64);
    drop_one(buffer, b);
    drop_one(buffer, a);
    BOOST_TEST(buffer.used() == 192u);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_drop_below_two_open_scopes_is_reclaimed_when_both_end) {
  slab_resource buffer{slabs_of(1024)};
  const auto a = block(buffer, 900);
  {
    scope outer{buffer};
    (void)buffer.allocate(900);
    scope inner{buffer};
    (void)buffer.allocate(16);
    drop_one(buffer, a);
    BOOST_TEST(buffer.used() == 1828u);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_part_of_an_own_block_is_not_dropped) {
  slab_resource buffer{slabs_of(1024)};
  const auto own = block(buffer, 5000);
  for (const std::span<std::byte> part : {own.first(4992), own.subspan(16), own.subspan(16, 16)})
    BOOST_CHECK_THROW(drop_one(buffer, part), std::invalid_argument);
  BOOST_TEST(buffer.used() == 5000u);
  drop_one(buffer, own);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(dropped_blocks_above_a_checkpoint_are_forgotten_with_it) {
  slab_resource buffer{slabs_of(1024)};
  (void)buffer.allocate(16);
  const auto cp = buffer.checkpoint();
  const auto a = block(buffer, 32);
  (void)buffer.allocate(32);
  drop_one(buffer, a);
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 16u);
  const auto again = block(buffer, 32);
  BOOST_TEST(again.data() == a.data());
  drop_one(buffer, again);
  BOOST_TEST(buffer.used() == 16u);
}

// --- reshaping ---

BOOST_AUTO_TEST_CASE(going_back_over_several_reshapes) {
  slab_resource buffer{slabs_of(1024)};
  buffer.deallocate(buffer.allocate(16), 16);
  for (int round = 0; round < 3; ++round) {
    {
      scope inner{buffer};
      (void)buffer.reshape(100);
      (void)buffer.reshape(5000);
      BOOST_TEST(buffer.used() == 0u);
    }
    BOOST_TEST(buffer.used() == 0u);
    (void)buffer.allocate(100);
    BOOST_TEST(buffer.used() == 100u);
    const auto cp = buffer.checkpoint();
    BOOST_CHECK_THROW((void)buffer.reshape(100), order_error);
    buffer.restore(cp);
    buffer.deallocate(buffer.allocate(100), 100);
    BOOST_TEST(buffer.used() == 112u);
    buffer.reset();
  }
  const auto empty = buffer.checkpoint();
  (void)buffer.reshape(100);
  (void)buffer.reshape(5000);
  (void)buffer.reshape(10000);
  buffer.restore(empty);
  BOOST_TEST(buffer.used() == 0u);
  for (int i = 0; i < 20; ++i) (void)buffer.allocate(1024);
  BOOST_TEST(buffer.used() == 20u * 1024);
  BOOST_TEST(buffer.peak() == 20u * 1024);
}

BOOST_AUTO_TEST_CASE(a_scope_in_a_reshaped_buffer_leaves_it_reshaped) {
  slab_resource buffer{slabs_of(1024)};
  std::byte* const first = buffer.reshape(100);
  {
    scope inner{buffer};
    (void)buffer.reshape(5000);
  }
  BOOST_CHECK_THROW((void)buffer.allocate(8), order_error);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.reshape(100) == first);
  const auto cp = buffer.checkpoint();
  (void)buffer.reshape(5000);
  buffer.restore(cp);
  BOOST_CHECK_THROW((void)buffer.allocate(8), order_error);
  buffer.reset();
  BOOST_CHECK_NO_THROW((void)buffer.allocate(8));
  BOOST_TEST(buffer.used() == 8u);
}

// --- the rest ---

BOOST_AUTO_TEST_CASE(owns_slabs_and_own_blocks) {
  slab_resource buffer{slabs_of(64)};
  int elsewhere = 0;
  auto* const a = static_cast<std::byte*>(buffer.allocate(64));
  auto* const b = static_cast<std::byte*>(buffer.allocate(64));
  auto* const large = static_cast<std::byte*>(buffer.allocate(1000));
  for (std::byte* first : {a, b, large}) BOOST_TEST(buffer.owns(first));
  BOOST_TEST(buffer.owns(a + 63));
  BOOST_TEST(!buffer.owns(a + 64));
  BOOST_TEST(buffer.owns(large + 999));
  BOOST_TEST(!buffer.owns(&elsewhere));
  BOOST_TEST(!buffer.owns(nullptr));
}

BOOST_AUTO_TEST_CASE(a_block_from_elsewhere_that_ends_where_an_empty_slab_begins) {
  alignas(64) std::byte storage[2][4096];
  slab_resource there{{.extendable = false, .initial_buffer = storage[0]}};
  slab_resource here{{.initial_buffer = storage[1]}};
  void* const block = there.allocate(4096);
  void* const first = here.allocate(64);
  here.deallocate(first, 64);
  here.deallocate_if_own(block, 4096);
  here.deallocate_if_own(block, 4096);
  BOOST_TEST(here.used() == 0u);
  BOOST_TEST(here.allocate(64) == first);
  there.deallocate_if_own(block, 4096);
  BOOST_TEST(there.used() == 0u);
}

BOOST_AUTO_TEST_CASE(reshape_where_an_initial_buffer_is_not_aligned) {
  alignas(64) std::byte storage[4096];
  slab_resource buffer{{.initial_buffer = std::span(storage).subspan(16)}};
  (void)buffer.allocate(1);
  buffer.reset();
  for (int i = 0; i < 2; ++i) {
    std::byte* const memory = buffer.reshape(1000, 64);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0u);
    buffer.reset();
  }
  slab_resource fixed{{.extendable = false, .initial_buffer = std::span(storage).subspan(16)}};
  BOOST_CHECK_THROW((void)fixed.reshape(1000, 64), buffers::exhausted);
  BOOST_TEST(fixed.reshape(1000, 16) == storage + 16);
}

BOOST_AUTO_TEST_CASE(reset_peak_does_not_change_what_reset_does) {
  const auto capacity_after = [](bool look) {
    slab_resource buffer{{.first_slab = 1024}};
    for (int i = 0; i < 500; ++i) (void)buffer.allocate(100);
    if (look) buffer.reset_peak();
    buffer.reset();
    (void)buffer.allocate(1);
    return buffer.capacity();
  };
  BOOST_TEST(capacity_after(true) == capacity_after(false));
}

// What it has is not given to a buffer that cannot reuse it.
BOOST_AUTO_TEST_CASE(a_refusal_by_a_fixed_buffer_changes_nothing) {
  bump_resource memory{64 * 1024};
  slab_resource buffer{{.first_slab = 4096, .growth = 1, .largest_slab = 4096}, &memory};
  {
    scope inner{buffer};
    for (int i = 0; i < 10; ++i) (void)buffer.allocate(4096);
  }
  (void)memory.allocate(16);  // so that the slabs are not its newest blocks
  const std::size_t capacity = buffer.capacity();
  BOOST_CHECK_THROW((void)buffer.allocate(40'000), exhausted);
  BOOST_TEST(buffer.capacity() == capacity);
  for (int i = 0; i < 10; ++i) (void)buffer.allocate(4096);
}

BOOST_AUTO_TEST_CASE(the_next_round_over_a_fixed_buffer_fits_as_the_first_did) {
  bump_resource memory{32 * 1024};
  slab_resource buffer{{.first_slab = 1024}, &memory};
  for (int i = 0; i < 200; ++i) (void)buffer.allocate(100);
  (void)memory.allocate(16);
  for (int round = 0; round < 3; ++round) {
    buffer.reset();
    for (int i = 0; i < 200; ++i) (void)buffer.allocate(100);
  }
  BOOST_TEST(buffer.used() >= 200 * 100);
}

BOOST_AUTO_TEST_CASE(peak_counts_slabs_and_own_blocks_together) {
  slab_resource buffer{slabs_of(1024)};
  void* const large = buffer.allocate(5000);
  (void)buffer.allocate(1024);
  (void)buffer.allocate(100);
  BOOST_TEST(buffer.peak() == 6124u);
  buffer.deallocate(large, 5000);
  BOOST_TEST(buffer.used() == 1124u);
  BOOST_TEST(buffer.peak() == 6124u);
  buffer.reset_peak();
  BOOST_TEST(buffer.peak() == 1124u);
  {
    scope inner{buffer};
    (void)buffer.allocate(3000);
  }
  BOOST_TEST(buffer.peak() == 4124u);
}

BOOST_AUTO_TEST_CASE(peak_of_a_scope_with_own_blocks_in_which_an_older_block_was_given_back) {
  slab_resource buffer;
  void* const block = buffer.allocate(100);
  {
    scope inner{buffer};
    buffer.deallocate(block, 100);
    (void)buffer.allocate(2 << 20);
  }
  BOOST_TEST(buffer.peak() == 2u << 20);
}

BOOST_AUTO_TEST_CASE(identity) {
  test_resource upstream;
  slab_resource a, b{&upstream};
  BOOST_TEST(a.is_equal(a));
  BOOST_TEST(!a.is_equal(b));
  BOOST_TEST(b.upstream_resource() == &upstream);
  BOOST_TEST(a.upstream_resource() == std::pmr::new_delete_resource());
}

// The block that a checkpoint in the scope stood behind was given back there.
BOOST_AUTO_TEST_CASE(a_block_after_a_scope_with_a_checkpoint_grows) {
  slab_resource buffer;
  const auto first = buffers::alloc<char>(buffer, 100);
  {
    buffers::scope in{buffer};
    buffers::drop(buffer, first);
    (void)buffer.checkpoint();
  }
  BOOST_TEST(buffer.used() == 0u);
  void* const block = buffer.allocate(40);
  BOOST_TEST(buffer.try_expand(block, 40, 300));
  BOOST_TEST(buffer.used() == 300u);
}

BOOST_AUTO_TEST_SUITE_END()
