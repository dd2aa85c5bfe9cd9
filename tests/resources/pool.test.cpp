#include "support/child.hpp"
#include "support/pool_sizes.hpp"
#include "support/untouched_memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <memory_resource>
#include <new>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::pool_options;
using buffers::pool_resource;
using buffers::pool_stats;
using buffers::slab_resource;
using buffers::test_resource;

namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

bool is_aligned(const void* p, std::size_t alignment) { return address(p) % alignment == 0; }

std::byte* bytes(std::pmr::memory_resource& pool, std::size_t count, std::size_t alignment = 16) {
  return static_cast<std::byte*>(pool.allocate(count, alignment));
}

/// Everything that a pool says about itself.
struct state {
  std::size_t used, peak, capacity, releasable;
  pool_stats stats;

  explicit state(const pool_resource& pool)
      : used(pool.used()),
        peak(pool.peak()),
        capacity(pool.capacity()),
        releasable(pool.releasable()),
        stats(pool.stats()) {}

  static auto of(const buffers::pool_counts& c) { return std::tuple(c.live, c.free, c.free_bytes, c.hits, c.misses); }
  bool operator==(const state& other) const {
    return std::tuple(used, peak, capacity, releasable, stats.oversize) ==
               std::tuple(other.used, other.peak, other.capacity, other.releasable, other.stats.oversize) &&
           of(stats) == of(other.stats) && std::ranges::equal(stats.buckets, other.stats.buckets, {}, of, of);
  }
  friend std::ostream& operator<<(std::ostream& os, const state& s) {
    return os << "used " << s.used << " peak " << s.peak << " capacity " << s.capacity << " releasable " << s.releasable
              << " live " << s.stats.live << " free " << s.stats.free << " hits " << s.stats.hits << " misses "
              << s.stats.misses << " oversize " << s.stats.oversize;
  }
};

/// The hardened build keeps a byte for each block in its tables: what those of some megabytes take more.
constexpr std::size_t larger_tables = BUFFERS_HARDENED ? 512 * kib : 0;

/// `count` blocks of one size.
std::vector<std::byte*> blocks(std::pmr::memory_resource& pool, std::size_t count, std::size_t size) {
  std::vector<std::byte*> all(count);
  for (std::byte*& block : all) block = bytes(pool, size);
  return all;
}

void give_back(std::pmr::memory_resource& pool, const std::vector<std::byte*>& all, std::size_t size) {
  for (std::byte* block : all) pool.deallocate(block, size);
}

std::vector<std::byte*> sorted(std::vector<std::byte*> all) {
  std::ranges::sort(all);
  return all;
}

std::vector<std::byte*> shuffled(std::vector<std::byte*> all, unsigned seed) {
  std::ranges::shuffle(all, std::mt19937(seed));
  return all;
}

void refuses(const pool_options& options, const std::string& field) {
  try {
    pool_resource pool{options};
    BOOST_ERROR("accepted an option out of range: " << field);
  } catch (const std::invalid_argument& error) {
    BOOST_TEST(std::string(error.what()).contains(field), error.what());
  }
}

// Fills blocks of a size and gives them back.
void phase(pool_resource& pool, std::size_t total, std::size_t size) {
  const std::vector<std::byte*> all = blocks(pool, total / size, size);
  for (std::byte* block : all) std::memset(block, 1, size);
  give_back(pool, all, size);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool)

// --- memory from upstream ---

BOOST_AUTO_TEST_CASE(nothing_is_allocated_before_the_first_request) {
  test_resource upstream;
  {
    pool_resource pool{{}, &upstream};
    BOOST_TEST(pool.allocate(0) != nullptr);
    BOOST_TEST(pool.get(0).empty());
    BOOST_TEST(pool.try_get(0).empty());
    BOOST_TEST(pool.try_get(64).empty());
    pool.put({});
    pool.deallocate(nullptr, 64);
    pool.clear();
    pool.reset();
    BOOST_TEST(pool.trim(0) == 0u);
    BOOST_TEST(pool.releasable() == 0u);
    pool.release();
    BOOST_TEST(!pool.owns(&upstream));
    BOOST_TEST(!pool.owns(nullptr));
    BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.peak() == 0u);
  }
  BOOST_TEST(upstream.allocations() == 0u);
  BOOST_TEST(upstream.deallocations() == 0u);
}

BOOST_AUTO_TEST_CASE(the_first_chunk_has_64_kib) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  (void)pool.allocate(1);
  BOOST_TEST(upstream.last_bytes() == 64 * kib);
  BOOST_TEST(upstream.last_alignment() == 4096u);
  BOOST_TEST(upstream.allocations() == 1u);
  BOOST_TEST(pool.capacity() == 64 * kib);
}

BOOST_AUTO_TEST_CASE(each_chunk_is_as_large_as_all_before_it) {
  test_resource upstream;
  pool_resource pool{{.largest_chunk = 512 * kib}, &upstream};
  std::vector<std::size_t> chunks;
  while (chunks.size() < 7) {
    const std::size_t calls = upstream.allocations();
    (void)pool.allocate(4096);
    if (upstream.allocations() != calls) chunks.push_back(upstream.last_bytes() / kib);
    BOOST_TEST(pool.capacity() == upstream.live_bytes());
  }
  BOOST_TEST(chunks == (std::vector<std::size_t>{64, 64, 128, 256, 512, 512, 512}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_first_chunk_of_ones_own) {
  test_resource upstream;
  pool_resource pool{{.first_chunk = mib}, &upstream};
  (void)pool.allocate(1);
  BOOST_TEST(pool.capacity() == mib);
}

BOOST_AUTO_TEST_CASE(a_block_that_needs_it_gets_a_larger_chunk) {
  test_resource upstream;
  pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
  std::byte* const block = bytes(pool, 4 * mib);
  std::memset(block, 1, 4 * mib);
  BOOST_TEST(pool.capacity() > 4 * mib);
  BOOST_TEST(pool.capacity() < 4 * mib + 200 * kib + larger_tables);
  pool.release();
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_CASE(options_out_of_range_are_named) {
  refuses({.first_chunk = 0}, "first_chunk");
  refuses({.first_chunk = 64 * kib - 1}, "first_chunk");
  refuses({.first_chunk = SIZE_MAX}, "first_chunk");
  refuses({.first_chunk = (std::size_t{1} << 40) + 1}, "first_chunk");
  refuses({.largest_chunk = 0}, "largest_chunk");
  refuses({.largest_chunk = 64 * kib - 1}, "largest_chunk");
  refuses({.first_chunk = 2 * mib, .largest_chunk = mib}, "largest_chunk");
  refuses({.largest_chunk = SIZE_MAX}, "largest_chunk");
  BOOST_CHECK_NO_THROW((pool_resource{{.first_chunk = 64 * kib, .largest_chunk = 64 * kib, .spare = 0}}));
  BOOST_CHECK_NO_THROW((pool_resource{{.first_chunk = 100'001, .largest_chunk = 100'001, .spare = SIZE_MAX}}));
}

BOOST_AUTO_TEST_CASE(chunks_are_whole_pages) {
  test_resource upstream;
  pool_resource pool{{.first_chunk = 100'001, .largest_chunk = 100'001}, &upstream};
  for (int i = 0; i < 100; ++i) std::memset(bytes(pool, 4096), 1, 4096);
  BOOST_TEST(upstream.last_bytes() == 24u * 4096);
  pool.release();
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_CASE(the_destructor_gives_all_upstream_blocks_in_use_included) {
  test_resource upstream;
  {
    pool_resource pool{{}, &upstream};
    for (std::size_t size : {16uz, 100uz, 5000uz, 100'000uz, 3'000'000uz}) {
      (void)pool.allocate(size);
      pool.deallocate(pool.allocate(size), size);
    }
    (void)pool.allocate(16, 8192);
    (void)pool.get(1000);
  }
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_CASE(more_chunks_than_the_index_has_room_for) {
  test_resource upstream;
  pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
  for (int round = 0; round < 2; ++round) {
    std::vector<std::byte*> all;
    while (upstream.live_bytes() < 40 * 64 * kib) all.push_back(bytes(pool, 4096));
    for (std::byte* block : all) std::memset(block, 1, 4096);
    for (std::byte* block : all) BOOST_TEST((pool.owns(block) && pool.owns(block + 4095)));
    BOOST_TEST(pool.capacity() % (64 * kib) == 0u);
    BOOST_TEST(pool.capacity() >= 39 * 64 * kib);
    give_back(pool, shuffled(all, 1), 4096);
    BOOST_TEST(pool.releasable() == pool.capacity());
    const std::size_t releasable = pool.releasable();
    if (round == 0) {
      BOOST_TEST(pool.trim(0) == releasable);
      BOOST_TEST(pool.capacity() == 0u);
    }
  }
  pool.release();
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_CASE(trim_keeps_no_more_than_it_is_told_with_the_index) {
  untouched_memory upstream;
  pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
  give_back(pool, blocks(pool, 100, 60'000), 60'000);
  const std::size_t capacity = pool.capacity();
  BOOST_TEST(pool.releasable() == capacity);
  BOOST_TEST(capacity % (64 * kib) != 0u);  // with the index of more than 64 chunks
  (void)pool.trim(capacity - 1);
  BOOST_TEST(pool.releasable() < capacity);
  BOOST_TEST(pool.releasable() == pool.capacity());
}

BOOST_AUTO_TEST_CASE(over_a_bump_resource) {
  test_resource upstream;
  bump_resource buffer{mib, &upstream};
  {
    pool_resource pool{{}, &buffer};
    const std::vector<std::byte*> all = blocks(pool, 1000, 300);
    for (std::byte* block : all) BOOST_TEST(buffer.owns(block));
    give_back(pool, shuffled(all, 2), 300);
    BOOST_CHECK_THROW((void)pool.allocate(mib), buffers::exhausted);
    std::memset(bytes(pool, 100'000), 1, 100'000);
    pool.release();
    std::memset(bytes(pool, 1000), 1, 1000);
  }
  buffer.reset();
  std::memset(bytes(buffer, mib), 1, mib);
  buffer.release();
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_CASE(over_a_slab_resource) {
  test_resource upstream;
  slab_resource buffer{{}, &upstream};
  {
    pool_resource pool{{}, &buffer};
    for (std::size_t size : {16uz, 300uz, 20'000uz, 2'000'000uz}) {
      const std::vector<std::byte*> all = blocks(pool, 20, size);
      for (std::byte* block : all) std::memset(block, 1, size);
      for (std::byte* block : all) BOOST_TEST((buffer.owns(block) && pool.owns(block)));
      give_back(pool, all, size);
    }
    std::memset(bytes(pool, 100, 8192), 1, 100);
  }
  buffer.reset();
  std::memset(bytes(buffer, 100'000), 1, 100'000);
  buffer.release();
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

// --- blocks ---

BOOST_AUTO_TEST_CASE(nothing_lies_between_blocks) {
  for (std::size_t size : pool_blocks(16 * kib)) {
    pool_resource pool{{.first_chunk = mib}};
    std::byte* const first = bytes(pool, size, 8);
    for (std::size_t i = 1; i < 64; ++i) {
      std::byte* const next = bytes(pool, size, 8);
      if (i < (size <= 128 ? 64u : 8u)) BOOST_TEST(next == first + i * size);
    }
  }
  bump_resource fixed{2'800'000};  // nodes of 32 bytes would not fit
  pool_resource pool{&fixed};
  std::pmr::list<const char*> nodes(100'000, "24 bytes each", &pool);
  BOOST_TEST(pool.used() == 2'400'000u);
}

BOOST_AUTO_TEST_CASE(the_newest_block_comes_first) {
  for (std::size_t size : {1uz, 16uz, 100uz, 5000uz, 100'000uz, 2'000'000uz}) {
    pool_resource pool;
    void* const a = pool.allocate(size);
    void* const b = pool.allocate(size);
    pool.deallocate(b, size);
    pool.deallocate(a, size);
    BOOST_TEST(pool.allocate(size) == a);
    BOOST_TEST(pool.allocate(size) == b);
  }
}

BOOST_AUTO_TEST_CASE(sizes_of_one_class_share_blocks_and_others_do_not) {
  pool_resource pool;
  void* const block = pool.allocate(129);
  pool.deallocate(block, 129);
  BOOST_TEST(pool.allocate(128) != block);
  BOOST_TEST(pool.allocate(161) != block);
  BOOST_TEST(pool.allocate(160) == block);
}

BOOST_AUTO_TEST_CASE(through_memory_resource_they_are_the_same_blocks) {
  pool_resource pool;
  std::pmr::memory_resource& plain = pool;
  void* const a = plain.allocate(100);
  pool.deallocate(a, 100);
  BOOST_TEST(plain.allocate(100) == a);
  void* const b = pool.allocate(64, 256);
  plain.deallocate(b, 64, 256);
  BOOST_TEST(pool.allocate(64, 256) == b);
  BOOST_TEST(pool.used() == 164u);
}

// Blocks at all borders between classes and of all alignments, all in use at once.
BOOST_AUTO_TEST_CASE(every_size_at_every_alignment) {
  test_resource upstream;
  pool_resource pool{{.first_chunk = mib}, &upstream};
  struct block {
    std::byte* first;
    std::size_t size, alignment;
  };
  std::vector<block> all;
  std::size_t used = 0;
  for (std::size_t border : pool_blocks(70'000))
    for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2)
      for (std::size_t size : {border - 1, border, border + 1}) {
        const block b{bytes(pool, size, alignment), size, alignment};
        BOOST_REQUIRE(is_aligned(b.first, alignment));
        std::memset(b.first, static_cast<int>(all.size() % 251), size);
        all.push_back(b);
        used += size;
      }
  BOOST_TEST(pool.used() == used);
  BOOST_TEST(pool.stats().live == all.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t at : {0uz, all[i].size / 2, all[i].size - 1})
      BOOST_REQUIRE((all[i].first[at] == std::byte(i % 251)));
  std::vector<block> in_order = all;
  std::ranges::sort(in_order, {}, &block::first);
  for (std::size_t i = 1; i < in_order.size(); ++i)
    BOOST_REQUIRE((in_order[i - 1].first + in_order[i - 1].size <= in_order[i].first));
  for (const block& b : all) pool.deallocate(b.first, b.size, b.alignment);
  BOOST_TEST(pool.used() == 0u);
  BOOST_TEST(pool.stats().live == 0u);
  // The same again comes from the blocks that are there.
  const std::size_t calls = upstream.allocations();
  for (const block& b : all) (void)pool.allocate(b.size, b.alignment);
  BOOST_TEST(upstream.allocations() == calls);
  pool.release();
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_CASE(large_sizes_at_every_alignment) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (std::size_t border : pool_blocks(128 * mib)) {
    if (border < 70'000) continue;
    for (std::size_t alignment : {1uz, 64uz, 4096uz}) {
      std::byte* found[3];
      std::size_t i = 0;
      for (std::size_t size : {border - 1, border, border + 1}) {
        std::byte* const block = found[i++] = bytes(pool, size, alignment);
        BOOST_REQUIRE(is_aligned(block, alignment));
        block[0] = block[size / 2] = block[size - 1] = std::byte(i);
      }
      i = 0;
      for (std::size_t size : {border - 1, border, border + 1}) {
        std::byte* const block = found[i++];
        BOOST_REQUIRE((block[0] == std::byte(i) && block[size / 2] == std::byte(i) && block[size - 1] == std::byte(i)));
        pool.deallocate(block, size, alignment);
      }
    }
  }
  BOOST_TEST(pool.used() == 0u);
  pool.release();
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(alignments_that_are_none_change_nothing) {
  pool_resource pool;
  pool.deallocate(pool.allocate(100), 100);
  (void)pool.allocate(1000);
  const state before(pool);
  for (std::size_t alignment : {0uz, 3uz, 6uz, 12uz, 24uz, 100uz, 4097uz, SIZE_MAX})
    for (std::size_t size : {0uz, 1uz, 100uz, 100'000uz, 200 * mib, SIZE_MAX}) {
      BOOST_CHECK_THROW((void)pool.allocate(size, alignment), std::invalid_argument);
      BOOST_CHECK_THROW((void)bytes(pool, size, alignment), std::invalid_argument);
      BOOST_CHECK_THROW((void)pool.get(size, alignment), std::invalid_argument);
      BOOST_CHECK_THROW((void)pool.try_get(size, alignment), std::invalid_argument);
      BOOST_TEST(state(pool) == before);
    }
}

BOOST_AUTO_TEST_CASE(requests_that_nobody_can_serve_change_nothing) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  pool.deallocate(pool.allocate(100), 100);
  (void)pool.allocate(1000);
  const state before(pool);
  const std::size_t live = upstream.live_bytes();
  constexpr std::size_t most = PTRDIFF_MAX;
  for (std::size_t size : {SIZE_MAX, SIZE_MAX - 7, SIZE_MAX - 15, SIZE_MAX - 64, SIZE_MAX - 4096, most + 1, most,
                           most - 8, most - 63, most - 4096})
    for (std::size_t alignment : {1uz, 16uz, 64uz, 4096uz, 8192uz, std::size_t{1} << 30}) {
      BOOST_CHECK_THROW((void)pool.allocate(size, alignment), std::bad_alloc);
      BOOST_CHECK_THROW((void)pool.get(size, alignment), std::bad_alloc);
      BOOST_TEST(pool.try_get(size, alignment).empty());
      BOOST_TEST(state(pool) == before);
      BOOST_TEST(upstream.live_bytes() == live);
    }
}

BOOST_AUTO_TEST_CASE(no_bytes_are_aligned_and_nothing) {
  pool_resource pool;
  (void)pool.allocate(100);
  const state before(pool);
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 30; alignment *= 2) {
    void* const nothing = pool.allocate(0, alignment);
    BOOST_TEST(nothing != nullptr);
    BOOST_TEST(is_aligned(nothing, alignment));
    pool.deallocate(nothing, 0, alignment);
    BOOST_TEST(pool.get(0, alignment).empty());
    BOOST_TEST(pool.get(0, alignment).data() != nullptr);
    BOOST_TEST(is_aligned(pool.get(0, alignment).data(), alignment));
    BOOST_TEST(pool.try_get(0, alignment).empty());
    BOOST_TEST(state(pool) == before);
  }
}

BOOST_AUTO_TEST_CASE(null_is_ignored) {
  pool_resource pool;
  (void)pool.allocate(100);
  const state before(pool);
  for (std::size_t size : {0uz, 1uz, 100uz, 100'000uz, 200 * mib})
    for (std::size_t alignment : {1uz, 16uz, 64uz, 8192uz}) pool.deallocate(nullptr, size, alignment);
  BOOST_TEST(state(pool) == before);
}

// --- upstream's own blocks ---

BOOST_AUTO_TEST_CASE(above_128_mib_upstream_is_asked) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (std::size_t size : {128 * mib + 1, 129 * mib, std::size_t{1} << 32}) {
    std::byte* const block = bytes(pool, size);
    block[0] = block[size - 1] = std::byte{1};
    BOOST_TEST(pool.used() == size);
    BOOST_TEST(pool.capacity() == upstream.live_bytes());
    BOOST_TEST(pool.capacity() - size < 64u);
    BOOST_TEST(pool.stats().oversize == 1u);
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST((pool.owns(block) && pool.owns(block + size - 1)));
    BOOST_TEST(!pool.owns(block - 1));
    BOOST_TEST(!pool.owns(block + size + 64));
    BOOST_TEST(pool.releasable() == 0u);
    pool.deallocate(block, size);
    BOOST_TEST(!pool.owns(block));
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.peak() == size);
    BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.stats().oversize == 0u);
    BOOST_TEST(upstream.is_clean());
  }
}

BOOST_AUTO_TEST_CASE(alignments_above_a_page_are_upstreams) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (std::size_t alignment = 8192; alignment <= std::size_t{1} << 30; alignment *= 2)
    for (std::size_t size : {1uz, 13uz, 64uz, 5000uz, 100'000uz}) {
      std::byte* const a = bytes(pool, size, alignment);
      std::byte* const b = bytes(pool, size, alignment);
      BOOST_TEST((is_aligned(a, alignment) && is_aligned(b, alignment)));
      std::memset(a, 1, size);
      std::memset(b, 2, size);
      BOOST_TEST((a[size - 1] == std::byte{1}));
      BOOST_TEST(pool.used() == 2 * size);
      BOOST_TEST(pool.stats().oversize == 2u);
      pool.deallocate(a, size, alignment);
      pool.deallocate(b, size, alignment);
      BOOST_TEST(upstream.is_clean());
    }
}

BOOST_AUTO_TEST_CASE(upstreams_own_blocks_leave_in_any_order) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  std::vector<std::byte*> all;
  for (std::size_t i = 1; i <= 50; ++i) {
    all.push_back(bytes(pool, i, 8192));
    std::memset(all.back(), static_cast<int>(i), i);
  }
  BOOST_TEST(pool.used() == 50u * 51 / 2);
  std::vector<std::size_t> order(50);
  for (std::size_t i = 0; i < 50; ++i) order[i] = i;
  std::ranges::shuffle(order, std::mt19937(3));
  for (std::size_t i : order) {
    for (std::size_t at = 0; at <= i; ++at) BOOST_TEST((all[i][at] == std::byte(i + 1)));
    pool.deallocate(all[i], i + 1, 8192);
    BOOST_TEST(!pool.owns(all[i]));
  }
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(clear_and_release_give_upstreams_own_blocks_back) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) (void)pool.allocate(100, 16'384);
    BOOST_TEST(upstream.live_blocks() == 3u);
    round == 0 ? pool.clear() : pool.release();
    BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.stats().oversize == 0u);
  }
}

// --- upstream that fails ---

BOOST_AUTO_TEST_CASE(no_failure_upstream_loses_anything) {
  const std::size_t runs = buffers::exception_test_loop([](std::pmr::memory_resource& upstream) {
    pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
    std::pmr::map<int, std::pmr::string> map{&pool};
    for (int i = 0; i < 300; ++i) map[i].assign(static_cast<std::size_t>(i), 'x');
    for (int i = 0; i < 200; ++i) map.erase(i);
    for (int i = 0; i < 12; ++i) (void)pool.allocate(60'000);
    (void)pool.allocate(1, 8192);
    (void)pool.get(300'000);
  });
  BOOST_TEST(runs > 15u);
}

BOOST_AUTO_TEST_CASE(a_request_that_upstream_refuses_changes_nothing) {
  for (std::int64_t limit = 0; limit < 8; ++limit) {
    test_resource upstream;
    pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
    std::vector<std::byte*> all;
    for (std::size_t size : {16uz, 100uz, 5000uz}) all.push_back(bytes(pool, size));
    for (std::byte* block : all) *block = std::byte{7};
    upstream.set_allocation_limit(limit);
    std::size_t refused = 0;
    for (int i = 0; i < 1000; ++i) {
      const std::size_t size = i % 50 == 0 ? 100'000 : 3000;
      const state before(pool);
      try {
        all.push_back(i % 2 == 0 ? bytes(pool, size) : pool.get(size).data());
        *all.back() = std::byte{7};
      } catch (const std::bad_alloc&) {
        ++refused;
        BOOST_TEST(state(pool) == before);
      }
    }
    BOOST_TEST(refused > 0u);
    for (std::byte* block : all) BOOST_TEST((*block == std::byte{7}));
    upstream.set_allocation_limit(-1);
    std::memset(bytes(pool, 100'000), 1, 100'000);
    BOOST_TEST(pool.capacity() <= upstream.live_bytes());
    pool.release();
    BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
  }
}

// Nor when nothing is in use and upstream has said nothing of what it has left.
BOOST_AUTO_TEST_CASE(an_idle_pool_that_upstream_refuses_keeps_its_memory) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  std::vector<std::byte*> all = blocks(pool, 48, 40'000);
  give_back(pool, all, 40'000);
  const state before(pool);
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)pool.allocate(pool.capacity() / 2 + 1'000'000), std::bad_alloc);
  BOOST_TEST(state(pool) == before);
}

BOOST_AUTO_TEST_CASE(an_idle_pool_over_a_fixed_buffer_keeps_its_memory) {
  buffers::bump_resource memory{1 << 20};
  pool_resource pool{{.first_chunk = 65536, .largest_chunk = 65536}, &memory};
  const auto some = blocks(pool, 300, 1000);
  (void)memory.allocate(16);  // so that the chunks are not its newest blocks
  give_back(pool, blocks(pool, 300, 1000), 1000);
  give_back(pool, some, 1000);
  const state before(pool);
  BOOST_CHECK_THROW((void)pool.allocate(800'000), buffers::exhausted);
  BOOST_TEST(state(pool) == before);
  (void)blocks(pool, 600, 1000);
}

// What lies in the lists is gathered before upstream's refusal is passed on; what is in use is not touched.
BOOST_AUTO_TEST_CASE(a_refusal_with_free_blocks_leaves_what_is_in_use) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  std::vector<std::byte*> all = blocks(pool, 3000, 48);
  for (std::byte* block : all) std::memset(block, 5, 48);
  for (std::size_t i = 0; i < all.size(); i += 2) pool.deallocate(all[i], 48);
  upstream.set_allocation_limit(0);
  const state before(pool);
  BOOST_CHECK_THROW((void)pool.allocate(10 * mib), std::bad_alloc);
  BOOST_CHECK_THROW((void)pool.get(10 * mib), std::bad_alloc);
  BOOST_CHECK_THROW((void)pool.allocate(1, 8192), std::bad_alloc);
  const state after(pool);
  BOOST_TEST(after.used == before.used);
  BOOST_TEST(after.peak == before.peak);
  BOOST_TEST(after.capacity == before.capacity);
  BOOST_TEST(after.stats.live == 1500u);
  BOOST_TEST(after.stats.hits == before.stats.hits);
  BOOST_TEST(after.stats.misses == before.stats.misses);
  for (std::size_t i = 1; i < all.size(); i += 2) BOOST_TEST((all[i][0] == std::byte{5} && all[i][47] == std::byte{5}));
  for (int i = 0; i < 1500; ++i) std::memset(bytes(pool, 48), 6, 48);
  for (std::size_t i = 1; i < all.size(); i += 2) BOOST_TEST((all[i][0] == std::byte{5} && all[i][47] == std::byte{5}));
}

BOOST_AUTO_TEST_CASE(with_little_memory_upstream_chunks_are_smaller) {
  untouched_memory upstream;
  upstream.set_budget(200 * kib);
  pool_resource pool{{.first_chunk = mib}, &upstream};
  std::memset(bytes(pool, 16), 1, 16);
  BOOST_TEST(pool.capacity() == 128 * kib);
  std::memset(bytes(pool, 100'000), 1, 100'000);
  BOOST_TEST(pool.capacity() == upstream.live_bytes());
  BOOST_CHECK_THROW((void)pool.allocate(100'000), std::bad_alloc);
  std::memset(bytes(pool, 1000), 1, 1000);
}

BOOST_AUTO_TEST_CASE(nearly_all_of_a_budget_can_be_used) {
  untouched_memory upstream;
  upstream.set_budget(10 * mib);
  pool_resource pool{{}, &upstream};
  std::size_t count = 0;
  try {
    for (;; ++count) (void)pool.allocate(4096);
  } catch (const std::bad_alloc&) {
  }
  BOOST_TEST(count * 4096 > 9 * mib);
}

// Short runs, whose blocks are given back by the batch in every order.
BOOST_AUTO_TEST_CASE(what_is_left_of_a_buffer_is_used_block_by_block) {
  for (std::size_t size : {14uz * 1024, 12uz * 1024, 5uz * 1024, 4096uz, 2560uz, 1280uz, 640uz}) {
    buffers::bump_resource upstream{192 * kib};
    pool_resource pool{{}, &upstream};
    std::size_t most = 0;
    for (unsigned round = 0; round < 4; ++round) {
      std::vector<std::byte*> all;
      try {
        for (;;) all.push_back(bytes(pool, size));
      } catch (const std::bad_alloc&) {
      }
      BOOST_TEST(all.size() * size >= 144 * kib);
      BOOST_TEST((most == 0 || all.size() == most));
      most = all.size();
      const std::vector<std::byte*> in_order = sorted(all);
      for (std::size_t i = 1; i < all.size(); ++i) BOOST_TEST(in_order[i] - in_order[i - 1] >= std::ptrdiff_t(size));
      give_back(pool, round == 0 ? all : round == 1 ? in_order : shuffled(all, round), size);
    }
  }
}

// A free run at the end and the memory behind it that was never used make one block.
BOOST_AUTO_TEST_CASE(free_memory_and_fresh_memory_are_joined_before_a_request_fails) {
  untouched_memory upstream;
  upstream.set_budget(mib);
  pool_resource pool{{.first_chunk = mib}, &upstream};
  const std::vector<std::byte*> all = blocks(pool, 100, 4096);
  give_back(pool, all, 4096);
  std::memset(bytes(pool, 800 * kib), 1, 800 * kib);
  BOOST_TEST(pool.used() == 800 * kib);
}

BOOST_AUTO_TEST_CASE(other_exceptions_pass_at_once) {
  struct : std::pmr::memory_resource {
    int calls = 0;
    void* do_allocate(std::size_t, std::size_t) override {
      ++calls;
      throw std::runtime_error("closed");
    }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } upstream;
  pool_resource pool{{.first_chunk = mib}, &upstream};
  BOOST_CHECK_THROW((void)pool.allocate(16), std::runtime_error);
  BOOST_TEST(upstream.calls == 1);
  BOOST_CHECK_THROW((void)pool.get(16), std::runtime_error);
  BOOST_CHECK_THROW((void)pool.allocate(16, 8192), std::runtime_error);
  BOOST_TEST(upstream.calls == 3);
  BOOST_TEST(state(pool) == state(pool_resource{}));
}

// --- clear, release, trim ---

BOOST_AUTO_TEST_CASE(clear_takes_all_blocks_back_and_keeps_the_memory) {
  for (std::size_t size : {16uz, 32uz, 100uz, 1000uz, 5000uz, 16 * kib}) {
    test_resource upstream;
    pool_resource pool{{}, &upstream};
    const std::vector<std::byte*> all = blocks(pool, 1000, size);
    const std::size_t calls = upstream.allocations(), capacity = pool.capacity();
    for (int round = 0; round < 3; ++round) {
      pool.clear();
      BOOST_TEST(pool.used() == 0u);
      BOOST_TEST(pool.stats().live == 0u);
      BOOST_TEST(pool.stats().free == 1000u);
      BOOST_TEST(pool.stats().free_bytes == 1000 * pool_block(size));
      BOOST_TEST(pool.capacity() == capacity);
      BOOST_TEST(pool.releasable() == capacity);
      const std::vector<std::byte*> again = blocks(pool, 1000, size);
      BOOST_TEST((sorted(again) == sorted(all)));
      for (std::byte* block : again) std::memset(block, 1, size);
      BOOST_TEST(pool.stats().live == 1000u);
      BOOST_TEST(pool.stats().free == 0u);
      BOOST_TEST(pool.stats().misses == 1000u);
    }
    BOOST_TEST(upstream.allocations() == calls);
    BOOST_TEST(upstream.deallocations() == 0u);
    BOOST_TEST(pool.peak() == 1000 * size);
  }
}

// Blocks in use, in the lists, and in runs, in each order of freeing.
BOOST_AUTO_TEST_CASE(clear_with_blocks_everywhere) {
  for (std::size_t size : {16uz, 32uz, 256uz, 1024uz, 4096uz})
    for (int order = 0; order < 3; ++order)
      for (std::size_t freed : {1uz, 255uz, 257uz, 600uz, 1100uz, 2000uz}) {
        test_resource upstream;
        pool_resource pool{{.first_chunk = 16 * mib}, &upstream};
        std::vector<std::byte*> all = blocks(pool, 2000, size);
        const std::vector<std::byte*> there = sorted(all);
        if (order == 1) std::ranges::reverse(all);
        if (order == 2) all = shuffled(all, 4);
        all.resize(freed);
        give_back(pool, all, size);
        BOOST_TEST(pool.stats().live == 2000 - freed);
        BOOST_TEST(pool.stats().free == freed);
        for (int round = 0; round < 2; ++round) {
          pool.clear();
          BOOST_TEST(pool.stats().live == 0u);
          BOOST_TEST(pool.stats().free == 2000u);
          BOOST_TEST(pool.stats().free_bytes == 2000 * size);
          const std::vector<std::byte*> again = blocks(pool, 2000, size);
          BOOST_TEST((sorted(again) == there));
          BOOST_TEST(pool.stats().live == 2000u);
          BOOST_TEST(pool.stats().free == 0u);
          if (round == 0) give_back(pool, again, size);
        }
        BOOST_TEST(upstream.allocations() == 1u);
      }
}

BOOST_AUTO_TEST_CASE(clear_takes_large_blocks_back) {
  for (std::size_t size : {20'000uz, 100'000uz, mib, 5 * mib}) {
    test_resource upstream;
    pool_resource pool{{}, &upstream};
    const std::vector<std::byte*> all = blocks(pool, 3, size);
    pool.deallocate(all[1], size);
    const std::size_t calls = upstream.allocations();
    pool.clear();
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST(pool.stats().free == 3u);
    const std::vector<std::byte*> again = blocks(pool, 3, size);
    BOOST_TEST((sorted(again) == sorted(all)));
    BOOST_TEST(upstream.allocations() == calls);
    BOOST_TEST(upstream.deallocations() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(clear_with_more_large_blocks_than_lists_hold) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (int round = 0; round < 3; ++round) {
    (void)blocks(pool, 60, mib);
    const std::size_t calls = upstream.calls();
    pool.clear();
    BOOST_TEST(pool.stats().live == 0u);
    (void)blocks(pool, 60, mib);
    BOOST_TEST(upstream.calls() == calls);
    BOOST_TEST(pool.stats().live == 60u);
    pool.clear();
  }
}

BOOST_AUTO_TEST_CASE(reset_is_clear) {
  pool_resource pool;
  void* const block = pool.allocate(100);
  pool.reset();
  BOOST_TEST(pool.stats().free == 1u);
  BOOST_TEST(pool.allocate(100) == block);
}

BOOST_AUTO_TEST_CASE(release_gives_all_memory_upstream) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  for (int round = 0; round < 2; ++round) {
    for (std::size_t size : {16uz, 100uz, 5000uz, 100'000uz, 3'000'000uz}) {
      (void)pool.allocate(size);
      pool.deallocate(pool.allocate(size), size);
    }
    pool.release();
    BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
    BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.releasable() == 0u);
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST(pool.stats().free == 0u);
    BOOST_TEST(pool.stats().misses == 10u * (static_cast<std::size_t>(round) + 1));
  }
}

BOOST_AUTO_TEST_CASE(trim_gives_chunks_without_a_block_in_use) {
  test_resource upstream;
  pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
  const std::vector<std::byte*> all = blocks(pool, 96, 4096);
  const std::size_t chunks = pool.capacity() / (64 * kib);
  BOOST_TEST(pool.releasable() == 0u);
  BOOST_TEST(pool.trim(0) == 0u);
  give_back(pool, {all.begin() + 1, all.end()}, 4096);
  BOOST_TEST(pool.releasable() == (chunks - 1) * 64 * kib);
  BOOST_TEST(pool.trim(SIZE_MAX) == 0u);
  BOOST_TEST(pool.trim(3 * 64 * kib + 1) == (chunks - 4) * 64 * kib);
  BOOST_TEST(pool.capacity() == 4 * 64 * kib);
  BOOST_TEST(pool.releasable() == 3 * 64 * kib);
  BOOST_TEST(pool.trim(2 * 64 * kib) == 64 * kib);
  BOOST_TEST(pool.trim(64 * kib - 1) == 2 * 64 * kib);
  BOOST_TEST(pool.capacity() == 64 * kib);
  BOOST_TEST(pool.owns(all[0]));
  pool.deallocate(all[0], 4096);
  BOOST_TEST(pool.trim(0) == 64 * kib);
  BOOST_TEST(pool.capacity() == 0u);
  BOOST_TEST(pool.used() == 0u);
  std::memset(bytes(pool, 4096), 1, 4096);
  BOOST_TEST(upstream.mistakes() == 0u);
}

BOOST_AUTO_TEST_CASE(trim_leaves_blocks_in_use_alone) {
  test_resource upstream;
  pool_resource pool{{.largest_chunk = 64 * kib}, &upstream};
  std::vector<std::byte*> all = blocks(pool, 20'000, 32);
  for (std::byte* block : all) std::memset(block, 3, 32);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (i % 4000 != 0) pool.deallocate(all[i], 32);
  (void)pool.trim(0);
  BOOST_TEST(pool.stats().live == 5u);
  for (std::size_t i = 0; i < all.size(); i += 4000) {
    BOOST_TEST(pool.owns(all[i]));
    for (int at = 0; at < 32; ++at) BOOST_TEST((all[i][at] == std::byte{3}));
    pool.deallocate(all[i], 32);
  }
  BOOST_TEST(pool.trim(0) > 0u);
  BOOST_TEST(pool.capacity() == 0u);
}

// --- get, try_get, put ---

BOOST_AUTO_TEST_CASE(get_gives_whole_powers_of_two_from_64_on) {
  untouched_memory upstream;
  pool_resource pool{{.spare = 1024 * mib}, &upstream};
  for (std::size_t size = 64; size <= 128 * mib; size *= 2)
    for (std::size_t request : {size / 2 + 1, size - 1, size}) {
      const std::span<std::byte> block = pool.get(request);
      BOOST_TEST(block.size() == size);
      BOOST_TEST(pool.used() == size);
      block.front() = block.back() = std::byte{1};
      pool.put(block);
      BOOST_TEST(pool.used() == 0u);
      const std::span<std::byte> again = pool.try_get(request);
      BOOST_TEST(again.data() == block.data());
      BOOST_TEST(again.size() == size);
      pool.put(again);
    }
  for (std::size_t request : {1uz, 16uz, 17uz, 63uz}) {
    const std::span<std::byte> block = pool.get(request);
    BOOST_TEST(block.size() == 64u);
    pool.put(block);
  }
}

BOOST_AUTO_TEST_CASE(get_at_every_alignment) {
  pool_resource pool{{.first_chunk = mib}};
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2)
    for (std::size_t request : {1uz, 100uz, 128uz, 5000uz}) {
      const std::size_t size = std::bit_ceil(std::max({request, alignment, 64uz}));
      for (int i = 0; i < 3; ++i) {
        const std::span<std::byte> block = pool.get(request, alignment);
        BOOST_TEST(block.size() == size);
        BOOST_TEST(is_aligned(block.data(), alignment));
        std::memset(block.data(), 1, block.size());
      }
    }
}

BOOST_AUTO_TEST_CASE(try_get_gives_what_is_there_and_nothing_else) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  BOOST_TEST(pool.try_get(64).empty());
  const std::span<std::byte> a = pool.get(64), b = pool.get(64);
  BOOST_TEST(pool.try_get(64).empty());
  pool.put(a);
  pool.put(b);
  BOOST_TEST(pool.try_get(65).empty());
  BOOST_TEST(pool.try_get(1).data() == b.data());
  BOOST_TEST(pool.try_get(33).data() == a.data());
  BOOST_TEST(pool.try_get(64).empty());
  BOOST_TEST(pool.used() == 128u);
  BOOST_TEST(pool.stats().hits == 2u);
  BOOST_TEST(pool.stats().misses == 6u);
  BOOST_TEST(upstream.allocations() == 1u);
}

BOOST_AUTO_TEST_CASE(try_get_finds_blocks_beyond_the_lists) {
  pool_resource pool;
  std::vector<std::span<std::byte>> all;
  for (int i = 0; i < 2000; ++i) all.push_back(pool.get(128));
  for (std::span<std::byte> block : all) pool.put(block);
  std::set<std::byte*> found;
  for (int i = 0; i < 2000; ++i) found.insert(pool.try_get(128).data());
  BOOST_TEST(found.size() == 2000u);
  BOOST_TEST(!found.contains(nullptr));
  BOOST_TEST(pool.try_get(128).empty());
}

BOOST_AUTO_TEST_CASE(allocate_and_get_share_blocks) {
  pool_resource pool;
  const std::span<std::byte> a = pool.get(100);
  pool.deallocate(a.data(), a.size());
  BOOST_TEST(pool.allocate(128) == a.data());
  pool.put(a);
  BOOST_TEST(pool.allocate(128, 64) == a.data());
  pool.deallocate(a.data(), 128, 64);
  BOOST_TEST(pool.try_get(65).data() == a.data());
  BOOST_TEST(pool.used() == 128u);
  BOOST_TEST(pool.peak() == 128u);
}

BOOST_AUTO_TEST_CASE(get_and_put_of_upstreams_own_blocks) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (auto [size, alignment] : {std::pair{100uz, 8192uz}, std::pair{128 * mib + 3, 16uz}}) {
    BOOST_TEST(pool.try_get(size, alignment).empty());
    const std::span<std::byte> block = pool.get(size, alignment);
    BOOST_TEST(block.size() == size);
    BOOST_TEST(is_aligned(block.data(), alignment));
    BOOST_TEST(pool.used() == size);
    BOOST_TEST(pool.stats().oversize == 1u);
    BOOST_CHECK_THROW(pool.put({block.data(), size + 1}), std::invalid_argument);
    BOOST_CHECK_THROW(pool.put(block.subspan(16)), std::invalid_argument);
    BOOST_TEST(pool.used() == size);
    pool.put(block);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(upstream.is_clean());
    BOOST_CHECK_THROW(pool.put(block), std::invalid_argument);
  }
  BOOST_TEST(pool.stats().misses == 0u);
}

BOOST_AUTO_TEST_CASE(put_refuses_what_is_no_block) {
  pool_resource pool, other;
  const std::span<std::byte> block = pool.get(128);
  std::array<std::byte, 128> local;
  void* const large = pool.allocate(100'000);
  const state before(pool);
  BOOST_CHECK_THROW(pool.put(local), std::invalid_argument);
  BOOST_CHECK_THROW(pool.put(other.get(128)), std::invalid_argument);
  BOOST_CHECK_THROW(other.put(block), std::invalid_argument);
  BOOST_CHECK_THROW(pool.put(block.subspan(1)), std::invalid_argument);
  BOOST_CHECK_THROW(pool.put(block.subspan(64)), std::invalid_argument);
  BOOST_CHECK_THROW(pool.put({block.data(), 129}), std::invalid_argument);
  BOOST_CHECK_THROW(pool.put({block.data() + 128, 128}), std::invalid_argument);  // never handed out
  BOOST_CHECK_THROW(pool.put({static_cast<std::byte*>(large) + 4096, 64}), std::invalid_argument);
  BOOST_CHECK_THROW(pool.put({block.data() - 4096, 64}), std::invalid_argument);  // the tables
  // cppcheck-suppress intToPointerCast ; an address that is nobody's
  BOOST_CHECK_THROW(pool.put({reinterpret_cast<std::byte*>(64), 64}), std::invalid_argument);
  BOOST_TEST(state(pool) == before);
  pool.put(block);
  BOOST_TEST(pool.try_get(128).data() == block.data());
}

BOOST_AUTO_TEST_CASE(put_refuses_a_block_whose_memory_is_another_ones) {
  pool_resource pool;
  const std::span<std::byte> block = pool.get(128);
  pool.put(block);
  (void)pool.trim(0);
  BOOST_CHECK_THROW(pool.put(block), std::invalid_argument);
  pool.release();
  BOOST_CHECK_THROW(pool.put(block), std::invalid_argument);
}

// --- numbers ---

BOOST_AUTO_TEST_CASE(used_counts_the_bytes_asked_for) {
  pool_resource pool;
  std::size_t used = 0;
  for (std::size_t size : {1uz, 15uz, 17uz, 100uz, 1001uz, 16'001uz, 20'001uz, 1'000'001uz, 1'048'577uz}) {
    for (std::size_t alignment : {1uz, 16uz, 64uz, 4096uz, 8192uz}) {
      void* const block = pool.allocate(size, alignment);
      used += size;
      BOOST_TEST(pool.used() == used);
      pool.deallocate(block, size, alignment);
      BOOST_TEST(pool.used() == used - size);
      BOOST_TEST(pool.peak() == used);
      (void)pool.allocate(size, alignment);
      BOOST_TEST(pool.used() == used);
    }
  }
  BOOST_TEST(pool.peak() == used);
}

BOOST_AUTO_TEST_CASE(peak_and_reset_peak) {
  pool_resource pool;
  void* const a = pool.allocate(100);
  void* const b = pool.allocate(500);
  pool.deallocate(b, 500);
  BOOST_TEST(pool.used() == 100u);
  BOOST_TEST(pool.peak() == 600u);
  pool.reset_peak();
  BOOST_TEST(pool.used() == 100u);
  BOOST_TEST(pool.peak() == 100u);
  (void)pool.allocate(50);
  BOOST_TEST(pool.peak() == 150u);
  pool.deallocate(a, 100);
  BOOST_TEST(pool.used() == 50u);
  pool.clear();
  BOOST_TEST(pool.used() == 0u);
  BOOST_TEST(pool.peak() == 150u);
  pool.reset_peak();
  BOOST_TEST(pool.peak() == 0u);
  (void)pool.allocate(10);
  BOOST_TEST(pool.peak() == 10u);
  pool.release();
  BOOST_TEST(pool.peak() == 10u);
}

BOOST_AUTO_TEST_CASE(stats_by_bucket) {
  untouched_memory upstream;
  pool_resource pool{{.spare = 1024 * mib}, &upstream};
  const auto bucket_of = [](std::size_t block) {
    std::size_t b = 0;
    while ((std::size_t{64} << b) < block) ++b;
    return b;
  };
  pool_stats before = pool.stats();
  for (std::size_t b = 0; b < before.buckets.size(); ++b)
    BOOST_TEST(before.buckets[b].block_size == std::size_t{64} << b);
  BOOST_TEST(before.buckets.back().block_size == 128 * mib);
  for (std::size_t size : pool_blocks(128 * mib)) {
    const std::size_t b = bucket_of(size);
    before = pool.stats();
    void* const block = pool.allocate(size, 8);
    BOOST_TEST(pool.stats().buckets[b].live == before.buckets[b].live + 1);
    BOOST_TEST(pool.stats().buckets[b].misses == before.buckets[b].misses + 1);
    pool.deallocate(block, size, 8);
    BOOST_TEST(pool.stats().buckets[b].live == before.buckets[b].live);
    BOOST_TEST(pool.stats().buckets[b].free >= 1u);
    BOOST_TEST(pool.stats().buckets[b].free_bytes >= size);
    pool.deallocate(pool.allocate(size, 8), size, 8);
    BOOST_TEST(pool.stats().buckets[b].hits == before.buckets[b].hits + 1);
    BOOST_TEST(pool.stats().hits == before.hits + 1);
  }
}

BOOST_AUTO_TEST_CASE(hits_and_misses_outlive_clear_and_release) {
  pool_resource pool;
  for (int i = 0; i < 10; ++i) pool.deallocate(pool.allocate(100), 100);
  pool.clear();
  pool.release();
  BOOST_TEST(pool.stats().hits == 9u);
  BOOST_TEST(pool.stats().misses == 1u);
  (void)pool.allocate(100);
  BOOST_TEST(pool.stats().misses == 2u);
}

BOOST_AUTO_TEST_CASE(owns_its_memory_only) {
  test_resource upstream;
  pool_resource pool{{.largest_chunk = 64 * kib}, &upstream}, other;
  std::byte local{};
  std::vector<std::byte*> all = blocks(pool, 300, 1000);
  for (std::byte* block : all) {
    BOOST_TEST((pool.owns(block) && pool.owns(block + 999)));
    BOOST_TEST(!other.owns(block));
  }
  BOOST_TEST(!pool.owns(&local));
  BOOST_TEST(!pool.owns(&pool));
  BOOST_TEST(!pool.owns(other.allocate(1000)));
  give_back(pool, all, 1000);
  BOOST_TEST(pool.owns(all[0]));
  pool.release();
  for (std::byte* block : all) BOOST_TEST(!pool.owns(block));
}

BOOST_AUTO_TEST_CASE(identity) {
  test_resource upstream;
  pool_resource a, b{{}, &upstream}, c{&upstream};
  BOOST_TEST(a.is_equal(a));
  BOOST_TEST(!a.is_equal(b));
  BOOST_TEST(a.upstream_resource() == std::pmr::new_delete_resource());
  BOOST_TEST(b.upstream_resource() == &upstream);
  BOOST_TEST(c.upstream_resource() == &upstream);
}

// --- many blocks ---

// More blocks than both lists of a size hold, in each order of freeing.
BOOST_AUTO_TEST_CASE(lists_overflow_and_refill) {
  for (std::size_t size : {16uz, 48uz, 256uz, 512uz, 1024uz, 4096uz, 16 * kib})
    for (int order = 0; order < 3; ++order) {
      test_resource upstream;
      pool_resource pool{{.first_chunk = 32 * mib}, &upstream};
      std::vector<std::byte*> all = blocks(pool, 1500, size);
      const std::vector<std::byte*> there = sorted(all);
      BOOST_TEST((std::ranges::adjacent_find(there) == there.end()));
      for (int round = 0; round < 3; ++round) {
        if (order == 1) std::ranges::reverse(all);
        if (order == 2) all = shuffled(all, static_cast<unsigned>(round));
        for (std::size_t i = 0; i < all.size(); ++i) {
          pool.deallocate(all[i], size);
          if (i % 37 == 0) {  // back and forth at each place of the lists
            BOOST_TEST(pool.allocate(size) == all[i]);
            pool.deallocate(all[i], size);
          }
          if (i % 11 != 0) continue;
          BOOST_REQUIRE(pool.stats().live == all.size() - i - 1);
          BOOST_REQUIRE(pool.stats().free == i + 1);
        }
        all = blocks(pool, 1500, size);
        BOOST_TEST((sorted(all) == there));
        BOOST_TEST(pool.stats().misses == 1500u);
      }
      BOOST_TEST(pool.capacity() == 32 * mib);
      for (std::byte* block : all) std::memset(block, 1, size);
      pool.release();
      BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
    }
}

BOOST_AUTO_TEST_CASE(blocks_freed_in_random_order_come_back_by_address) {
  pool_resource pool{{.first_chunk = 16 * mib}};
  constexpr std::size_t count = 100'000;
  give_back(pool, shuffled(blocks(pool, count, 32), 5), 32);
  const std::vector<std::byte*> again = blocks(pool, count, 32);
  // But for those that were next in the list.
  BOOST_TEST(std::ranges::is_sorted(std::span(again).subspan(32)));
  BOOST_TEST(pool.stats().misses == count);
}

// Any row of the 256 blocks of a page, and rows with gaps: the lists are emptied, so all of them are free in the page.
BOOST_AUTO_TEST_CASE(blocks_of_a_page_come_back_by_address) {
  pool_resource pool;
  const std::vector<std::byte*> all = blocks(pool, 256, 16);
  BOOST_REQUIRE((all.back() == all.front() + 255 * 16));
  unsigned seed = 0;
  for (std::size_t first : {0uz, 1uz, 62uz, 63uz, 64uz, 65uz, 127uz, 128uz, 191uz, 192uz, 254uz, 255uz})
    for (std::size_t count : {1uz, 2uz, 63uz, 64uz, 65uz, 127uz, 128uz, 129uz, 193uz, 255uz})
      for (std::size_t gap : {256uz, 2uz, 7uz, 64uz}) {
        std::vector<std::byte*> gone;
        for (std::size_t i = first; i < 256 && gone.size() < count; ++i)
          if (i % gap != gap - 1) gone.push_back(all[i]);
        give_back(pool, shuffled(gone, ++seed), 16);
        static_cast<void>(pool.trim(SIZE_MAX));
        BOOST_TEST((blocks(pool, gone.size(), 16) == gone));
      }
  BOOST_TEST(pool.stats().misses == 256u);
}

// Sizes that come and go at random find a balance, instead of taking memory from one another for ever.
BOOST_AUTO_TEST_CASE(random_sizes_find_a_balance) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  std::mt19937_64 random{1};
  std::uniform_real_distribution<double> log_size{std::log(16.0), std::log(65'536.0)};
  std::vector<std::span<std::byte>> live(1000);
  for (int i = 0; i < 600'000; ++i) {
    std::span<std::byte>& block = live[random() % live.size()];
    pool.deallocate(block.data(), block.size());
    const auto size = static_cast<std::size_t>(std::exp(log_size(random)));
    block = {bytes(pool, size), size};
    block[0] = std::byte{1};
  }
  BOOST_TEST(upstream.resident_bytes() <= (BUFFERS_HARDENED ? 8 : 7) * mib);  // which has larger tables
}

// A program that goes round needs them all again: what it does not have to carve anew is ready.
BOOST_AUTO_TEST_CASE(a_block_of_another_size_takes_a_small_part_of_what_lies_idle) {
  pool_resource pool;
  constexpr std::size_t count = 100'000;
  give_back(pool, blocks(pool, count, 48), 48);
  const std::size_t free = pool.stats().buckets[0].free;
  BOOST_TEST(free == count);
  void* const other = pool.allocate(32 * 1024);
  BOOST_TEST(pool.stats().buckets[0].free < free);  // taken from there
  BOOST_TEST(pool.stats().buckets[0].free > free - free / 8);
  pool.deallocate(other, 32 * 1024);
}

BOOST_AUTO_TEST_CASE(blocks_freed_in_order_come_back_in_order_by_the_batch) {
  pool_resource pool{{.first_chunk = 16 * mib}};
  constexpr std::size_t count = 10'000;
  give_back(pool, blocks(pool, count, 32), 32);
  const std::vector<std::byte*> again = blocks(pool, count, 32);
  std::size_t jumps = 0;
  for (std::size_t i = 1; i < count; ++i)
    jumps += again[i] != again[i - 1] + 32 && again[i] + 32 != again[i - 1] ? 1 : 0;
  BOOST_TEST(jumps < count / 100);
}

// Where blocks come and go, lists have room for more of them, and the newest comes first. When many go and then many
// come, they have less, and most come by address.
BOOST_AUTO_TEST_CASE(lists_are_as_deep_as_blocks_come_and_go) {
  struct example {
    std::size_t size, few, room;
  };
  for (const auto& [size, few, room] :
       {example{32, 200, 128}, {1000, 200, 64}, {4000, 100, 32}, {20'000, 200, 256}, {100'000, 60, 128}}) {
    pool_resource pool{{.first_chunk = 16 * mib}};
    const std::vector<std::byte*> all = blocks(pool, 2000, size);
    // How many of the blocks that go and come are the newest ones.
    const auto newest = [&](std::vector<std::byte*> gone) {
      give_back(pool, gone, size);
      const std::vector<std::byte*> come = blocks(pool, gone.size(), size);
      std::ranges::reverse(gone);
      return static_cast<std::size_t>(std::ranges::mismatch(come, gone).in1 - come.begin());
    };
    const std::span<std::byte* const> first = std::span(all).first(few);
    for (unsigned round = 0; round < 3; ++round) {
      static_cast<void>(newest(shuffled({first.begin(), first.end()}, round)));
      BOOST_TEST(newest(shuffled({first.begin(), first.end()}, round + 10)) == few);
      BOOST_TEST(newest(shuffled(all, round)) <= room);
    }
    BOOST_TEST(pool.stats().misses == 2000u);
  }
}

// Upstream with pages in a row, of which it gives a few at a time: several chunks lie in the same 64 KiB.
struct pages_in_a_row final : std::pmr::memory_resource {
  explicit pages_in_a_row(std::size_t most_pages, std::size_t all_bytes = 8 * mib)
      : most(most_pages * 4096), memory(all_bytes) {}
  void* do_allocate(std::size_t size, std::size_t alignment) override {
    if (size > most) throw std::bad_alloc();
    ++calls;
    return memory.allocate(size, alignment);
  }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::size_t most, calls = 0;
  bump_resource memory;
};

BOOST_AUTO_TEST_CASE(blocks_find_their_way_home_from_small_chunks) {
  for (const std::size_t most_pages : {2uz, 3uz, 5uz, 8uz, 15uz, 17uz}) {
    pages_in_a_row upstream{most_pages};
    pool_resource pool{{}, &upstream};
    std::vector<std::byte*> all = blocks(pool, 400, 1000);
    BOOST_TEST(upstream.calls >= 400 * 1000 / 4096 / most_pages);
    for (unsigned round = 0; round < 20; ++round) {
      for (std::size_t i = 0; i < all.size(); ++i) std::memset(all[i], static_cast<int>(i + round), 1000);
      for (std::size_t i = 0; i < all.size(); ++i)
        BOOST_TEST_REQUIRE((all[i][999] == static_cast<std::byte>(i + round)));
      const std::size_t calls = upstream.calls;
      const std::vector<std::byte*> before = sorted(all);
      give_back(pool, shuffled(all, round), 1000);
      BOOST_TEST(pool.stats().live == 0u);
      BOOST_TEST(pool.stats().free == 400u);
      all = blocks(pool, 400, 1000);
      BOOST_TEST((sorted(all) == before));
      BOOST_TEST(upstream.calls == calls);
    }
  }
}

// The more memory there is, the more chunks lie in each place by which they are found: the first ones are small.
BOOST_AUTO_TEST_CASE(blocks_find_their_way_home_in_large_pools) {
  for (const std::size_t all_bytes : {20 * mib, 100 * mib, 300 * mib}) {
    pages_in_a_row upstream{SIZE_MAX / 4096, all_bytes};
    pool_resource pool{{.largest_chunk = 16 * mib}, &upstream};
    constexpr std::size_t bytes = 8000;
    std::vector<std::byte*> all = blocks(pool, all_bytes / 10000, bytes);
    for (unsigned round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < all.size(); ++i) std::memcpy(all[i], &i, sizeof i);
      for (std::size_t i = 0; i < all.size(); ++i) BOOST_TEST_REQUIRE(std::memcmp(all[i], &i, sizeof i) == 0);
      const std::size_t calls = upstream.calls;
      const std::vector<std::byte*> before = sorted(all);
      give_back(pool, shuffled(all, round), bytes);
      BOOST_TEST(pool.stats().free == all.size());
      BOOST_TEST(pool.releasable() == pool.capacity());
      all = blocks(pool, all.size(), bytes);
      BOOST_TEST((sorted(all) == before));
      BOOST_TEST(upstream.calls == calls);
    }
    give_back(pool, all, bytes);
  }
}

BOOST_AUTO_TEST_CASE(memory_of_one_size_serves_another_before_the_pool_grows) {
  for (auto [first, then] : {std::pair{32uz, 32 * kib}, std::pair{32 * kib, 32uz}, std::pair{1000uz, 48uz},
                             std::pair{16uz, 16 * kib}, std::pair{mib, 40 * kib}, std::pair{40 * kib, mib},
                             std::pair{100 * kib, 512 * kib}, std::pair{2 * mib, 300 * kib}}) {
    untouched_memory upstream;
    pool_resource pool{{}, &upstream};
    constexpr std::size_t total = 10 * mib;
    give_back(pool, shuffled(blocks(pool, total / first, first), 6), first);
    const std::size_t capacity = pool.capacity();
    (void)blocks(pool, total / 2 / then, then);
    BOOST_TEST(pool.capacity() == capacity, first << " then " << then);
    (void)blocks(pool, total / 2 / then, then);
    BOOST_TEST(pool.capacity() <= 2 * capacity, first << " then " << then);
  }
}

BOOST_AUTO_TEST_CASE(sizes_that_take_turns_do_not_grow_the_pool) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (int round = 0; round < 8; ++round)
    for (std::size_t size : {24uz, 100uz, 700uz, 5000uz, 30'000uz, 700'000uz}) {
      give_back(pool, shuffled(blocks(pool, 2 * mib / size, size), 7), size);
      BOOST_TEST(pool.capacity() <= 8 * mib);
    }
}

// Large blocks have chunks of their own, and small ones have: but what is free there is used before anything else is.
BOOST_AUTO_TEST_CASE(small_blocks_lie_where_a_large_one_was_and_the_other_way_round) {
  pool_resource pool;
  void* const large = pool.allocate(4 * mib);
  std::memset(large, 1, 4 * mib);
  pool.deallocate(large, 4 * mib);
  const std::size_t capacity = pool.capacity();
  for (int round = 0; round < 20; ++round) {
    const std::vector<std::byte*> small = blocks(pool, 4000, 1000);
    const auto [first, last] = std::ranges::minmax(small);
    BOOST_TEST((first >= large && last + 1000 <= static_cast<std::byte*>(large) + 4 * mib));
    give_back(pool, shuffled(small, static_cast<unsigned>(round)), 1000);
    pool.trim(SIZE_MAX);  // some lie in a stack, and keep their runs
    void* const again = pool.allocate(4 * mib);
    BOOST_TEST(again == large);
    pool.deallocate(again, 4 * mib);
    BOOST_TEST(pool.capacity() == capacity);
  }
}

BOOST_AUTO_TEST_CASE(what_lies_idle_pays_for_growth) {
  constexpr std::size_t total = 32 * mib;
  for (auto [first, then] : {std::pair{8 * mib, 1000uz}, std::pair{1000uz, 8 * mib}, std::pair{300 * kib, 5000uz},
                             std::pair{48uz, 2 * mib}, std::pair{30 * kib, 100 * kib}, std::pair{mib, 30 * kib}}) {
    untouched_memory upstream;
    pool_resource pool{{}, &upstream};
    phase(pool, total, first);
    BOOST_TEST(upstream.resident_bytes() > total * 9 / 10);
    phase(pool, total, then);
    BOOST_TEST(upstream.resident_bytes() < total * 13 / 10,
               upstream.resident_bytes() / kib << " KiB: " << first << " then " << then);
  }
}

BOOST_AUTO_TEST_CASE(nothing_pays_where_all_is_spare) {
  constexpr std::size_t total = 32 * mib;
  untouched_memory upstream;
  pool_resource pool{{.spare = SIZE_MAX}, &upstream};
  phase(pool, total, 1000);
  phase(pool, total, 8 * mib);  // which need more in a row than is free
  BOOST_TEST(upstream.resident_bytes() > total * 3 / 2);
}

BOOST_AUTO_TEST_CASE(phases_of_a_program_share_memory) {
  untouched_memory upstream;
  pool_resource pool{{.spare = SIZE_MAX}, &upstream};
  for (int round = 0; round < 20; ++round) {
    phase(pool, 8 * mib, 48);
    phase(pool, 8 * mib, 300 * kib);
    phase(pool, 8 * mib, 2000);
    phase(pool, 8 * mib, 64 * kib);
  }
  BOOST_TEST(upstream.resident_bytes() < 12 * mib, upstream.resident_bytes() / kib << " KiB");
}

// Each phase fills up to 16 MiB with blocks of about one size, and leaves a twentieth of all behind.
BOOST_AUTO_TEST_CASE(phases_that_leave_blocks_behind) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  std::mt19937 random(1);
  std::vector<std::span<std::byte>> live;
  std::size_t used = 0;
  for (int phase = 0; phase < 60; ++phase) {
    const std::size_t least = 16uz << random() % 16;
    while (used < 16 * mib) {
      const std::size_t size = least + random() % least;
      live.emplace_back(bytes(pool, size), size);
      std::memset(live.back().data(), 1, size);
      used += size;
    }
    std::ranges::shuffle(live, random);
    while (used > 16 * mib / 20) {
      pool.deallocate(live.back().data(), live.back().size());
      used -= live.back().size();
      live.pop_back();
    }
  }
  BOOST_TEST(upstream.resident_bytes() < 5 * 16 * mib, upstream.resident_bytes() / kib << " KiB");
}

BOOST_AUTO_TEST_CASE(a_program_that_goes_round_comes_to_hold_what_it_needs) {
  if (sanitized || thread_sanitized) return;  // they have page faults of their own
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  const auto faults = [] {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt;
  };
  const auto round = [&] {
    const long before = faults();
    phase(pool, 4 * mib, 48);
    phase(pool, 4 * mib, 300 * kib);
    phase(pool, 4 * mib, 2000);
    phase(pool, 8 * mib, 2 * mib);
    return faults() - before;
  };
  for (int i = 0; i < 50; ++i) (void)round();
  long fewest = round();
  for (int i = 0; i < 10; ++i) fewest = std::min(fewest, round());
  BOOST_TEST(fewest < 500);  // of 5000 pages that a round touches
}

BOOST_AUTO_TEST_CASE(large_blocks_that_are_freed_become_one) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    untouched_memory upstream;
    pool_resource pool{{.first_chunk = 64 * mib, .spare = 256 * mib}, &upstream};
    give_back(pool, shuffled(blocks(pool, 30, 2 * mib), seed), 2 * mib);
    const std::size_t calls = upstream.calls();
    (void)pool.allocate(16 * mib);
    (void)pool.allocate(16 * mib);
    BOOST_TEST(upstream.calls() == calls);
  }
}

BOOST_AUTO_TEST_CASE(a_request_that_is_refused_leaves_free_blocks_where_they_are) {
  for (std::size_t size : {64uz, 3000uz, 20'000uz, 64 * kib, mib}) {
    test_resource upstream;
    pool_resource pool{{}, &upstream};
    std::vector<std::byte*> all = blocks(pool, 300, size), kept;
    for (std::size_t i = 0; i < all.size(); i += 7) kept.push_back(all[i]);  // here and there, so that runs stay apart
    for (std::size_t i = 0; i < all.size(); ++i)
      if (i % 7 != 0) pool.deallocate(all[i], size);
    upstream.set_allocation_limit(0);
    for (std::size_t request : {100 * mib, 128 * mib}) {
      const state before(pool);
      BOOST_CHECK_THROW((void)pool.allocate(request), std::bad_alloc);
      BOOST_CHECK_THROW((void)pool.get(request), std::bad_alloc);
      BOOST_TEST(state(pool) == before);
    }
    give_back(pool, kept, size);
  }
}

BOOST_AUTO_TEST_CASE(a_block_is_free_after_a_request_that_was_refused) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  const std::span<std::byte> a = pool.get(64 * kib), b = pool.get(64 * kib);
  pool.put(a);
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)pool.allocate(8 * mib), std::bad_alloc);
  BOOST_TEST(pool.stats().free == 1u);
  BOOST_TEST(pool.try_get(64 * kib).data() == a.data());
  pool.put(b);
}

BOOST_AUTO_TEST_CASE(refused_when_much_is_free_in_pieces) {
  // Five of nine MiB are held, none next to another: more than half of what is asked for, and no room for it.
  test_resource upstream;
  pool_resource pool{{.first_chunk = 64 * kib, .largest_chunk = 64 * kib}, &upstream};
  const std::vector<std::byte*> all = blocks(pool, 9, mib);
  for (std::size_t i = 0; i < all.size(); i += 2) pool.deallocate(all[i], mib);
  upstream.set_allocation_limit(0);
  const state before(pool);
  BOOST_CHECK_THROW((void)pool.allocate(8 * mib), std::bad_alloc);
  BOOST_TEST(state(pool) == before);
  for (int i = 0; i < 5; ++i) BOOST_TEST(!pool.try_get(mib).empty());
}

BOOST_AUTO_TEST_CASE(what_is_held_and_what_was_never_touched_make_a_large_block) {
  // The end of a chunk whose last blocks are held: there is no other memory for it.
  test_resource upstream;
  pool_resource pool{{.first_chunk = 8 * mib}, &upstream};
  std::vector<std::byte*> all = blocks(pool, 4, mib);
  for (std::size_t i = 1; i < all.size(); ++i) pool.deallocate(all[i], mib);
  upstream.set_allocation_limit(0);
  void* const block = pool.allocate(6 * mib);
  BOOST_TEST(block == all[1]);
  BOOST_CHECK_THROW((void)pool.allocate(2 * mib), std::bad_alloc);
  pool.deallocate(block, 6 * mib);
  pool.deallocate(all[0], mib);
}

BOOST_AUTO_TEST_CASE(large_blocks_that_went_upstream_are_not_free) {
  for (std::size_t size : {2 * mib, mib + 1, 100 * mib}) {
    pool_resource pool;
    pool.deallocate(pool.allocate(size), size);
    BOOST_TEST(pool.stats().free == 1u);
    BOOST_TEST(pool.stats().free_bytes == (size + 4095) / 4096 * 4096);
    BOOST_TEST(pool.trim(0) > 0u);
    BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.stats().free == 0u);
    BOOST_TEST(pool.stats().free_bytes == 0u);
    BOOST_TEST(pool.try_get(size).empty());
    pool_resource keeps_none{{.spare = 0}};
    keeps_none.deallocate(keeps_none.allocate(size), size);
    BOOST_TEST(keeps_none.capacity() == 0u);
    BOOST_TEST(keeps_none.stats().free == 0u);
    BOOST_TEST(keeps_none.stats().free_bytes == 0u);
    BOOST_TEST(keeps_none.try_get(size).empty());
  }
}

BOOST_AUTO_TEST_CASE(large_blocks_of_one_chunk_go_upstream_and_others_stay) {
  pool_resource pool{{.largest_chunk = 64 * kib}};  // one chunk each
  void* const small = pool.allocate(2 * mib);
  void* const large = pool.allocate(5 * mib);
  pool.deallocate(small, 2 * mib);
  pool.deallocate(large, 5 * mib);
  BOOST_TEST(pool.stats().free == 2u);
  BOOST_TEST(pool.stats().free_bytes == 7 * mib);
  BOOST_TEST(pool.trim(6 * mib) > 0u);
  BOOST_TEST(pool.stats().free == 1u);
  BOOST_TEST(pool.stats().free_bytes == (pool.capacity() > 5 * mib ? 5 * mib : 2 * mib));
}

// Wherever upstream's memory lies.
BOOST_AUTO_TEST_CASE(of_empty_chunks_the_one_that_was_in_use_last_goes_last) {
  pages_in_a_row upstream(1024, 64 * mib);
  pool_resource pool{{.largest_chunk = mib, .spare = 4 * mib}, &upstream};
  std::array<void*, 6> blocks{};  // one chunk each; the spare has room for three
  for (void*& block : blocks) block = pool.allocate(mib + 1);
  for (void* const block : blocks) pool.deallocate(block, mib + 1);
  pool.deallocate(pool.allocate(2 * mib), 2 * mib);
  const std::size_t calls = upstream.calls;
  for (int i = 0; i < 10; ++i) pool.deallocate(pool.allocate(2 * mib), 2 * mib);
  BOOST_TEST(upstream.calls == calls);
  BOOST_TEST(pool.capacity() <= 4 * mib);
}

BOOST_AUTO_TEST_CASE(large_blocks_that_others_got_are_not_free) {
  pool_resource pool{{.first_chunk = 16 * mib}};
  void* const barrier = pool.allocate(64 * kib);
  void* const block = pool.allocate(2 * mib);
  void* const end = pool.allocate(64 * kib);
  pool.deallocate(block, 2 * mib);
  BOOST_TEST(pool.stats().free == 1u);
  void* const piece = pool.allocate(100'000);
  BOOST_TEST(piece == block);
  BOOST_TEST(pool.stats().free == 0u);
  BOOST_TEST(pool.stats().free_bytes == 0u);
  BOOST_TEST(pool.try_get(2 * mib).empty());
  pool.deallocate(piece, 100'000);
  pool.deallocate(barrier, 64 * kib);
  pool.deallocate(end, 64 * kib);
}

BOOST_AUTO_TEST_CASE(free_large_blocks_are_never_more_than_there_is) {
  std::mt19937 random(7);
  pool_resource pool{{.spare = 16 * mib}};
  std::vector<std::span<std::byte>> live;
  for (int i = 0; i < 3000; ++i) {
    if (live.size() < 20 && random() % 2 == 0) {
      const std::size_t size = random() % 3 == 0 ? 40'000 + random() % mib : mib + random() % (4 * mib);
      live.push_back({bytes(pool, size), size});
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      pool.deallocate(live.back().data(), live.back().size());
      live.pop_back();
    }
    std::size_t used = 0;
    for (const auto& block : live) used += block.size();
    const pool_stats stats = pool.stats();
    BOOST_REQUIRE(stats.free_bytes + used <= pool.capacity());
    std::size_t free = 0, free_bytes = 0;
    for (const auto& bucket : stats.buckets) {
      free += bucket.free;
      free_bytes += bucket.free_bytes;
      BOOST_REQUIRE(bucket.free_bytes <= bucket.free * bucket.block_size);
      if (bucket.block_size > 64) BOOST_REQUIRE(bucket.free_bytes >= bucket.free * bucket.block_size / 2);
    }
    BOOST_REQUIRE(free == stats.free);
    BOOST_REQUIRE(free_bytes == stats.free_bytes);
  }
  for (const auto& block : live) pool.deallocate(block.data(), block.size());
  pool.trim(0);
  BOOST_TEST(pool.stats().free_bytes <= pool.capacity());
  BOOST_TEST(pool.stats().live == 0u);
}

// More of them than a stack has room for; also where their memory is what small blocks were in.
BOOST_AUTO_TEST_CASE(every_block_that_was_put_is_found_again) {
  for (const bool after_small_ones : {false, true})
    for (const bool by_clear : {false, true})
      for (std::size_t size = 64; size <= 16 * mib; size *= 2) {
        const std::size_t count = std::min<std::size_t>(300, 128 * mib / size);
        pool_resource pool;
        if (after_small_ones) give_back(pool, blocks(pool, 4 * kib, 10 * kib), 10 * kib);
        std::vector<std::span<std::byte>> taken;
        for (std::size_t i = 0; i < count; ++i) taken.push_back(pool.get(size));
        const std::size_t capacity = pool.capacity();
        if (by_clear)
          pool.clear();
        else
          for (const auto block : taken) pool.put(block);
        const buffers::pool_bucket bucket = pool.stats().buckets[static_cast<std::size_t>(std::countr_zero(size)) - 6];
        BOOST_TEST_CONTEXT(size << (by_clear ? " cleared" : " put") << (after_small_ones ? " after small ones" : "")) {
          BOOST_TEST(bucket.free >= count);
          BOOST_TEST(bucket.live == 0u);
          std::set<const std::byte*> found;
          for (std::size_t i = 0; i < count; ++i) {
            const auto block = pool.try_get(size);
            BOOST_REQUIRE(block.size() == size);
            std::memset(block.data(), 1, size);
            found.insert(block.data());
          }
          BOOST_TEST(found.size() == count);
          if (!by_clear && !after_small_ones) BOOST_TEST(pool.try_get(size).empty());
          BOOST_TEST(pool.capacity() == capacity);
        }
      }
}

BOOST_AUTO_TEST_CASE(trim_gives_idle_pages_beside_blocks_in_use_to_the_system) {
  for (const std::size_t size : {64uz, 4 * kib, 64 * kib, 2 * mib}) {
    untouched_memory upstream;
    pool_resource pool{{}, &upstream};
    std::vector<std::byte*> all;
    for (std::size_t i = 0; i < 64 * mib / size; ++i) {
      all.push_back(bytes(pool, size));
      std::memset(all.back(), 1, size);
    }
    const std::size_t each = all.size() / 8;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (i % each != each / 2) pool.deallocate(all[i], size);
    const std::size_t before = upstream.resident_bytes();
    BOOST_TEST(before >= 64 * mib);
    pool.trim(20 * mib);
    BOOST_TEST(upstream.resident_bytes() >= 20 * mib);
    BOOST_TEST(upstream.resident_bytes() <= 25 * mib + 8 * size + larger_tables);
    pool.trim(0);
    BOOST_TEST(upstream.resident_bytes() <= 5 * mib + 8 * size + larger_tables);
    for (std::size_t i = each / 2; i < all.size(); i += each) {
      BOOST_TEST((all[i][size - 1] == std::byte{1}));
      pool.deallocate(all[i], size);
    }
    give_back(pool, blocks(pool, 100, size), size);
  }
}

// Its memory goes upstream and is asked for in one piece.
BOOST_AUTO_TEST_CASE(an_idle_pool_with_a_budget_serves_what_fits) {
  buffers::limit_resource budget{mib};
  pool_resource pool{{}, &budget};
  std::vector<void*> small;
  try {
    for (;;) small.push_back(pool.allocate(2000));
  } catch (const buffers::exhausted&) {
  }
  const std::size_t full = pool.capacity();
  BOOST_CHECK_THROW((void)pool.allocate(300'000), buffers::exhausted);
  for (std::size_t i = 1; i < small.size(); ++i) pool.deallocate(small[i], 2000);
  BOOST_CHECK_THROW((void)pool.allocate(900'000), buffers::exhausted);  // one block is in use: nothing changes
  BOOST_TEST(pool.capacity() == full);
  pool.deallocate(small[0], 2000);
  void* const large = pool.allocate(900'000);
  std::memset(large, 1, 900'000);
  BOOST_TEST(budget.used() == pool.capacity());
  pool.deallocate(large, 900'000);
  BOOST_CHECK_THROW((void)pool.allocate(2 * mib), buffers::exhausted);
  BOOST_TEST(pool.used() == 0u);
}

// ... together with what the budget has left.
BOOST_AUTO_TEST_CASE(an_idle_pool_serves_what_fits_into_the_whole_budget) {
  for (std::size_t size : {64uz, 3000uz, 20'000uz, 100'000uz}) {
    buffers::limit_resource budget{4 * mib};
    pool_resource pool{{}, &budget};
    give_back(pool, blocks(pool, 20'000 * 64 / size, size), size);
    void* const large = pool.allocate(3'000'000);
    BOOST_TEST(budget.used() == pool.capacity());
    pool.deallocate(large, 3'000'000);
  }
}

// An exception takes microseconds.
BOOST_AUTO_TEST_CASE(at_the_end_of_a_budget_upstream_is_asked_twice) {
  for (std::size_t size : {32uz, 128uz, 1000uz, 15'000uz, 40'000uz, 3'000'000uz}) {
    buffers::limit_resource budget{16 * mib};
    buffers::meter_resource upstream{&budget};
    pool_resource pool{{}, &upstream};
    try {
      for (;;) (void)pool.allocate(size);
    } catch (const buffers::exhausted&) {
    }
    BOOST_TEST(pool.used() > 12 * mib);
    const std::size_t before = upstream.failed();
    BOOST_CHECK_THROW((void)pool.allocate(size), buffers::exhausted);
    BOOST_TEST(upstream.failed() - before <= 2u);
  }
}

BOOST_AUTO_TEST_CASE(spare_bounds_the_chunks_that_are_kept) {
  for (std::size_t spare : {0uz, mib, 8 * mib, 50 * mib}) {
    untouched_memory upstream;
    pool_resource pool{{.largest_chunk = 4 * mib, .spare = spare}, &upstream};
    give_back(pool, shuffled(blocks(pool, 50, 3 * mib), 8), 3 * mib);
    BOOST_TEST(pool.used() == 0u);
    // In blocks and in chunks, each up to that.
    BOOST_TEST(pool.capacity() <= 2 * spare + 4 * mib);
    if (spare == 0) BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.capacity() == upstream.live_bytes() - (upstream.live_bytes() % 4096));
  }
}

BOOST_AUTO_TEST_CASE(a_large_block_in_a_loop_asks_upstream_once) {
  untouched_memory upstream;
  pool_resource pool{{}, &upstream};
  for (std::size_t size : {100'000uz, 3 * mib, 40 * mib}) {
    pool.deallocate(pool.allocate(size), size);
    const std::size_t calls = upstream.calls(), misses = pool.stats().misses;
    for (int i = 0; i < 100; ++i) pool.deallocate(pool.allocate(size), size);
    BOOST_TEST(upstream.calls() == calls);
    BOOST_TEST(pool.stats().misses == misses);
  }
}

BOOST_AUTO_TEST_CASE(containers_of_all_kinds) {
  test_resource upstream;
  {
    pool_resource pool{{}, &upstream};
    std::pmr::map<int, std::pmr::vector<int>> lists{&pool};
    for (int i = 0; i < 500; ++i)
      for (int n = 0; n < i; ++n) lists[i % 50].push_back(n);
    for (int i = 0; i < 50; i += 2) lists.erase(i);
    std::pmr::vector<int> sum{&pool};
    for (const auto& [key, list] : lists) sum.insert(sum.end(), list.begin(), list.end());
    BOOST_TEST(pool.used() > sum.size() * sizeof(int));
    lists.clear();
    sum = std::pmr::vector<int>{&pool};
    sum.shrink_to_fit();
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.trim(0) > 0u);
    BOOST_TEST(upstream.live_blocks() <= 1u);
  }
  BOOST_TEST(upstream.is_clean(), upstream.first_mistake());
}

BOOST_AUTO_TEST_SUITE_END()
