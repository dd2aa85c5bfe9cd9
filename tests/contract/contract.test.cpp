// The contract of every resource, row by row.
#include <array>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
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

BOOST_AUTO_TEST_SUITE(contract)

BOOST_AUTO_TEST_CASE_TEMPLATE(no_bytes, K, kinds) {
  rig<K> r;
  for (std::size_t used : {0uz, 100uz}) {
    if (used != 0) (void)r.allocate(used);
    const state before = state_of(r);
    for (std::size_t alignment = 1; alignment <= std::size_t{1} << 30; alignment *= 2) {
      void* const nothing = r.allocate(0, alignment);
      BOOST_TEST(nothing != nullptr);
      BOOST_TEST(is_aligned(nothing, alignment));
      r.deallocate(nothing, 0, alignment);
    }
    BOOST_TEST(state_of(r) == before);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(no_bytes_of_a_full_buffer, K, kinds) {
  rig<K> r(128);
  if (rig<K>::is_fixed) (void)r.allocate(128);
  BOOST_TEST(r.allocate(0) != nullptr);
  BOOST_TEST(r.allocate(0, 4096) != nullptr);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(alignments_are_honoured, K, kinds) {
  rig<K> r(std::size_t{1} << 24);
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 21; alignment *= 2) {
    for (std::size_t bytes : {1uz, 100uz, 3000uz, 70'000uz}) {
      (void)r.allocate(1, 1);  // so that no block is aligned by luck
      std::byte* const block = r.allocate(bytes, alignment);
      BOOST_TEST(is_aligned(block, alignment));
      std::memset(block, 1, bytes);
    }
    if (alignment >= 4096) {
      r.resource().reset();
      (void)r.resource().trim(0);
    }
  }
  BOOST_TEST(r.upstream.mistakes() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(alignments_that_are_none, K, kinds) {
  rig<K> r;
  (void)r.allocate(100);
  const state before = state_of(r);
  for (std::size_t alignment : {0uz, 3uz, 6uz, 12uz, 100uz, SIZE_MAX})
    for (std::size_t bytes : {0uz, 1uz, 100uz, 100'000uz}) {
      BOOST_CHECK_THROW((void)r.allocate(bytes, alignment), std::invalid_argument);
      BOOST_TEST(state_of(r) == before);
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(bytes_near_the_end_of_the_address_space, K, kinds) {
  rig<K> r;
  constexpr std::size_t most = PTRDIFF_MAX;
  for (std::size_t used : {0uz, 100uz}) {
    if (used != 0) (void)r.allocate(used);
    const state before = state_of(r);
    for (std::size_t bytes :
         {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX - 7, SIZE_MAX - 15, SIZE_MAX - 63, most, most + 1, most - 63})
      for (std::size_t alignment : {1uz, 8uz, 16uz, 64uz, 4096uz, std::size_t{1} << 30}) {
        BOOST_CHECK_THROW((void)r.allocate(bytes, alignment), std::bad_alloc);
        BOOST_TEST(state_of(r) == before);
      }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(counts_that_overflow, K, kinds) {
  rig<K> r;
  (void)r.allocate(100);
  const state before = state_of(r);
  auto& resource = r.resource();
  using typed = buffers::allocator<double, std::remove_reference_t<decltype(resource)>>;
  for (std::size_t count : {SIZE_MAX, SIZE_MAX / 8 + 1, SIZE_MAX / 8 + 2, SIZE_MAX / 2}) {
    BOOST_CHECK_THROW((void)typed(resource).allocate(count), std::bad_array_new_length);
    BOOST_CHECK_THROW((void)std::pmr::polymorphic_allocator<double>(&resource).allocate(count),
                      std::bad_array_new_length);
    BOOST_CHECK_THROW((void)buffers::alloc<double>(resource, count), std::bad_array_new_length);
    BOOST_CHECK_THROW((void)buffers::alloc<double>(K::face(r.of), count, 3), std::bad_array_new_length);
    BOOST_TEST(state_of(r) == before);
  }
  BOOST_CHECK_THROW((void)buffers::alloc<char>(resource, std::size_t{1} << 32, std::size_t{1} << 32),
                    std::bad_array_new_length);
  BOOST_TEST(state_of(r) == before);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_full_fixed_buffer, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(upstream_that_fails_at_the_nth_call, K, kinds) {
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

// Not through memory_resource: libc++ declares that its deallocate gets no null.
BOOST_AUTO_TEST_CASE_TEMPLATE(null_is_given_back, K, kinds) {
  rig<K> r;
  r.resource().deallocate(nullptr, 0);
  (void)r.allocate(100);
  const state before = state_of(r);
  r.resource().deallocate(nullptr, 0);
  r.resource().deallocate(nullptr, 100);
  r.resource().deallocate(nullptr, 100'000, 4096);
  BOOST_TEST(state_of(r) == before);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_foreign_checkpoint, K, kinds) {
  rig<K> r, other;
  (void)other.allocate(100);
  const auto cp = other.resource().checkpoint();
  (void)r.allocate(100);
  (void)r.allocate(100);
  const state before = state_of(r);
  BOOST_CHECK_THROW(r.resource().restore(cp), order_error);
  BOOST_TEST(state_of(r) == before);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_out_of_order, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(a_dead_checkpoint_after_many_others, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_older_than_a_reset, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_older_than_an_open_scope, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoint_of_one_that_was_destroyed_at_the_same_address, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(equality_is_identity, K, kinds) {
  rig<K> r, other;
  BOOST_TEST(r.resource().is_equal(K::face(r.of)));
  BOOST_TEST(!r.resource().is_equal(K::face(other.of)));
  BOOST_TEST(!r.resource().is_equal(r.upstream));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(used_peak_and_reset_peak, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(later_rounds_do_not_go_upstream, K, kinds) {
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

BOOST_AUTO_TEST_CASE_TEMPLATE(release_and_destruction_balance_upstream, K, kinds) {
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
