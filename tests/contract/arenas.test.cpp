// What arenas promise beyond the contract of every resource.
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <ostream>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>
import buffers;
import buffers.testing;
#include "contract/kinds.hpp"

using buffers::exhausted;
using buffers::order_error;
using buffers::scope;

BOOST_AUTO_TEST_SUITE(arenas_)

BOOST_AUTO_TEST_CASE_TEMPLATE(a_full_fixed_buffer, K, arenas) {
  if constexpr (rig<K>::is_fixed) {
    rig<K> r(1024);
    (void)r.allocate(1000);
    const state before = state_of(r);
    for (std::size_t bytes : {17uz, 1000uz, 100'000uz}) {
      try {
        (void)r.allocate(bytes);
        BOOST_ERROR(bytes << " bytes do not fit into the 16 that are left");
      } catch (const exhausted& full) {
        BOOST_TEST(full.requested() == bytes);
        BOOST_TEST(full.available() == 16u);
        BOOST_TEST(full.capacity() == 1024u);
        BOOST_TEST(full.what() ==
                   "buffers: exhausted: " + std::to_string(bytes) + " bytes requested, 16 available, capacity 1024");
      }
      BOOST_TEST(state_of(r) == before);
    }
    (void)r.allocate(16);
    BOOST_TEST(r.resource().used() == 1024u);
    BOOST_CHECK_THROW((void)r.allocate(1), exhausted);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(upstream_that_fails_at_the_nth_call, K, arenas) {
  if constexpr (!rig<K>::is_fixed) {
    for (std::int64_t limit = 0; limit < 6; ++limit) {
      rig<K> r;
      std::mt19937 random(static_cast<unsigned>(limit));
      (void)r.allocate(1);
      r.upstream.set_allocation_limit(limit);
      std::size_t refused = 0;
      for (int i = 0; i < 400; ++i) {
        auto& resource = r.resource();
        const state before{resource.used(), resource.peak(), resource.capacity(), r.upstream.live_bytes()};
        const std::size_t bytes = 1 + random() % (i % 3 == 0 ? 30'000 : 500);
        try {
          std::memset(r.allocate(bytes, std::size_t{1} << random() % 10), 1, bytes);
          BOOST_TEST(resource.used() >= before.used + bytes);
        } catch (const std::bad_alloc&) {
          ++refused;
          BOOST_TEST((state{resource.used(), resource.peak(), resource.capacity(), r.upstream.live_bytes()}) == before);
        }
      }
      BOOST_TEST(refused == r.upstream.refusals());
      BOOST_TEST(refused > 0u);
      r.upstream.set_allocation_limit(-1);
      BOOST_TEST(r.allocate(30'000) != nullptr);
      BOOST_TEST(r.upstream.mistakes() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_foreign_checkpoint, K, arenas) {
  rig<K> r, other;
  (void)other.allocate(100);
  const auto cp = other.resource().checkpoint();
  (void)r.allocate(100);
  (void)r.allocate(100);
  const state before = state_of(r);
  BOOST_CHECK_THROW(r.resource().restore(cp), order_error);
  BOOST_TEST(state_of(r) == before);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_out_of_order, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  (void)r.allocate(100);
  const auto outer = resource.checkpoint();
  (void)r.allocate(100);
  const auto inner = resource.checkpoint();
  (void)r.allocate(3000);
  resource.restore(inner);
  resource.restore(inner);
  resource.restore(outer);
  const state before = state_of(r);
  BOOST_CHECK_THROW(resource.restore(inner), order_error);
  BOOST_TEST(state_of(r) == before);
  // Nor when the buffer has become as full again.
  (void)r.allocate(3000);
  (void)r.allocate(3000);
  const state full = state_of(r);
  BOOST_CHECK_THROW(resource.restore(inner), order_error);
  BOOST_TEST(state_of(r) == full);
  resource.restore(outer);
  BOOST_TEST(resource.used() == 100u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_dead_checkpoint_after_many_others, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  const auto outer = resource.checkpoint();
  (void)r.allocate(100);
  const auto dead = resource.checkpoint();
  resource.restore(outer);
  for (int i = 0; i < 3; ++i) {
    (void)r.allocate(100);
    const auto cp = resource.checkpoint();
    (void)r.allocate(100);
    (void)resource.checkpoint();
    resource.restore(cp);
    BOOST_CHECK_THROW(resource.restore(dead), order_error);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_dead_checkpoint_after_a_loop_over_another, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  (void)r.allocate(16);
  const auto outer = resource.checkpoint();
  (void)r.allocate(100);
  const auto dead = resource.checkpoint();
  resource.restore(outer);
  const auto cp = resource.checkpoint();
  for (int i = 0; i < 10; ++i) {
    (void)r.allocate(8);
    (void)resource.checkpoint();
    resource.restore(cp);
    const state before = state_of(r);
    BOOST_CHECK_THROW(resource.restore(dead), order_error);
    BOOST_TEST(state_of(r) == before);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_part_of_a_block_is_not_dropped, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  auto* const first = static_cast<std::byte*>(r.allocate(64));
  (void)r.allocate(64);
  auto* const newest = static_cast<std::byte*>(r.allocate(64));
  const state before = state_of(r);
  for (std::byte* const block : {first, newest})
    for (std::size_t skipped : {1uz, 4uz, 8uz, 60uz}) {
      const std::span<std::byte> parts[] = {{newest, 64}, {block + skipped, 64 - skipped}};
      BOOST_CHECK_THROW(resource.drop(std::span(parts).last(1)), std::invalid_argument);
      BOOST_CHECK_THROW(resource.drop(parts), std::invalid_argument);
      BOOST_TEST(state_of(r) == before);
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_older_than_a_reset, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  const auto empty = resource.checkpoint();
  (void)r.allocate(100);
  const auto old = resource.checkpoint();
  resource.reset();
  (void)r.allocate(200);
  const state before = state_of(r);
  for (const auto& cp : {empty, old}) BOOST_CHECK_THROW(resource.restore(cp), order_error);
  BOOST_TEST(state_of(r) == before);
  resource.release();
  (void)r.allocate(200);
  for (const auto& cp : {empty, old}) BOOST_CHECK_THROW(resource.restore(cp), order_error);
  BOOST_TEST(resource.used() == 200u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_older_than_an_open_scope, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  (void)r.allocate(100);
  const auto cp = resource.checkpoint();
  {
    scope open{resource};
    (void)r.allocate(100);
    const state before = state_of(r);
    BOOST_CHECK_THROW(resource.restore(cp), order_error);
    BOOST_CHECK_THROW(resource.reset(), order_error);
    BOOST_CHECK_THROW(resource.release(), order_error);
    BOOST_TEST(state_of(r) == before);
  }
  resource.restore(cp);
  BOOST_TEST(resource.used() == 100u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoint_of_one_that_was_destroyed_at_the_same_address, K, arenas) {
  std::optional<rig<K>> r(std::in_place);
  (void)r->allocate(100);
  const auto cp = r->resource().checkpoint();
  r.emplace();
  (void)r->allocate(100);
  (void)r->resource().checkpoint();
  (void)r->allocate(100);
  const state before = state_of(*r);
  BOOST_CHECK_THROW(r->resource().restore(cp), order_error);
  BOOST_TEST(state_of(*r) == before);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(used_peak_and_reset_peak, K, arenas) {
  rig<K> r;
  auto& resource = r.resource();
  BOOST_TEST(resource.used() == 0u);
  BOOST_TEST(resource.peak() == 0u);
  {
    scope inner{resource};
    (void)r.allocate(100);
    (void)r.allocate(2000);
    BOOST_TEST(resource.used() >= 2100u);
  }
  BOOST_TEST(resource.used() == 0u);
  BOOST_TEST(resource.peak() >= 2100u);
  BOOST_TEST(resource.peak() <= 2112u);
  resource.reset_peak();
  BOOST_TEST(resource.peak() == 0u);
}

// The end lies behind a block's last byte once the one after it is gone.
BOOST_AUTO_TEST_CASE_TEMPLATE(expanding_lowers_nothing, K, arenas) {
  rig<K> r;
  std::byte* const block = r.allocate(41);
  r.deallocate(r.allocate(16), 16);
  BOOST_TEST(r.resource().used() == 48u);
  for (const std::size_t bytes : {41uz, 44uz, 48uz}) {
    BOOST_TEST(r.resource().try_expand(block, 41, bytes));
    BOOST_TEST(r.resource().used() == 48u);
  }
  BOOST_TEST(r.resource().shrink(block, 48, 41));
  BOOST_TEST(r.resource().used() == 41u);
  r.deallocate(block, 41);
  BOOST_TEST(r.resource().used() == 0u);

  std::byte* const another = r.allocate(34);
  r.deallocate(r.allocate(16), 16);
  BOOST_TEST(r.resource().try_expand(another, 34, 40));
  r.deallocate(another, 40);
  BOOST_TEST(r.resource().used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(later_rounds_do_not_go_upstream, K, arenas) {
  rig<K> r;
  const auto round = [&] {
    for (int i = 0; i < 50; ++i) (void)r.allocate(300);
    r.resource().reset();
  };
  round();
  round();
  const std::size_t calls = r.upstream_calls();
  for (int i = 0; i < 5; ++i) round();
  BOOST_TEST(r.upstream_calls() == calls);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(release_and_destruction_balance_upstream, K, arenas) {
  buffers::test_resource upstream;
  for (bool release : {false, true}) {
    typename K::kind of(64 * 1024, &upstream);
    for (std::size_t bytes : {1uz, 100uz, 5000uz, 20'000uz}) (void)K::face(of).allocate(bytes);
    if (!release) continue;
    of.resource.release();
    BOOST_TEST(upstream.live_blocks() == 0u);
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_SUITE_END()
