// The contract of every resource, row by row.
#include <unistd.h>

#include <atomic>
#include <boost/core/demangle.hpp>
#include <boost/mpl/list.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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
#include "contract/table.hpp"

using buffers::exhausted;

namespace {

const auto resources = boost::unit_test::data::make(table());

struct live_block {
  std::byte* first;
  std::size_t bytes, alignment;
};

/// Blocks of a few sizes at this alignment, all live at once.
void allocate_at(const entry& e, std::size_t alignment, std::size_t room, std::pmr::memory_resource* upstream) {
  const auto of = e.make(room, upstream);
  const auto allocate = [&](std::size_t bytes, std::size_t at) {
    return static_cast<std::byte*>(e.through_base ? of->base().allocate(bytes, at) : of->allocate(bytes, at));
  };
  std::vector<live_block> live;
  for (std::size_t bytes : {1uz, 100uz, 3000uz, 70'000uz}) {
    live.push_back({allocate(1, 1), 1, 1});  // so that no block is aligned by luck
    live.push_back({allocate(bytes, alignment), bytes, alignment});
    BOOST_TEST(is_aligned(live.back().first, alignment));
    std::memset(live.back().first, 1, bytes);
  }
  for (; !live.empty(); live.pop_back())
    e.through_base ? of->base().deallocate(live.back().first, live.back().bytes, live.back().alignment)
                   : of->deallocate(live.back().first, live.back().bytes, live.back().alignment);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(contract)

BOOST_DATA_TEST_CASE(no_bytes, resources, e) {
  contract_rig r(e);
  for (std::size_t used : {0uz, 100uz}) {
    if (used != 0) (void)r.allocate(used);
    const unchanged before(r);
    const std::size_t calls = r.upstream.allocations() + r.upstream.deallocations();
    for (std::size_t alignment = 1; alignment <= std::size_t{1} << 30; alignment *= 2) {
      void* const nothing = r.allocate(0, alignment);
      BOOST_TEST(nothing != nullptr);
      BOOST_TEST(is_aligned(nothing, alignment));
      r.deallocate(nothing, 0, alignment);
    }
    BOOST_TEST(r.upstream.allocations() + r.upstream.deallocations() == calls);
    BOOST_TEST(unchanged(r) == before);
  }
}

BOOST_DATA_TEST_CASE(no_bytes_when_there_are_no_more, resources, e) {
  contract_rig r(e, 128);
  try {
    while (e.is_fixed) (void)r.allocate(16);
  } catch (const exhausted&) {
  }
  r.upstream.set_allocation_limit(0);
  BOOST_TEST(r.allocate(0) != nullptr);
  BOOST_TEST(r.allocate(0, 4096) != nullptr);
}

// On a test_resource, whose blocks lie at odd multiples of their alignment.
BOOST_DATA_TEST_CASE(alignments_are_honoured, resources, e) {
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 16; alignment *= 2) {
    buffers::test_resource upstream;
    allocate_at(e, alignment, std::size_t{1} << 21, &upstream);
    BOOST_TEST(upstream.first_mistake() == "");
    BOOST_TEST(upstream.is_clean());
  }
}

// On pages, most of which are never touched.
BOOST_DATA_TEST_CASE(great_alignments_are_honoured, resources, e) {
  for (int shift : {17, 18, 19, 20, 21}) {
    buffers::page_resource upstream;
    allocate_at(e, std::size_t{1} << shift, std::size_t{1} << 25, &upstream);
    BOOST_TEST(upstream.used() == 0u);
  }
}

BOOST_DATA_TEST_CASE(the_greatest_alignment_is_honoured, resources, e) {
  buffers::page_resource upstream;
  constexpr std::size_t greatest = std::size_t{1} << 30;
  {
    const auto of = e.make(2 * greatest, &upstream);
    std::pmr::memory_resource& base = of->base();
    (void)(e.through_base ? base.allocate(1, 1) : of->allocate(1, 1));
    auto* const block =
        static_cast<std::byte*>(e.through_base ? base.allocate(100, greatest) : of->allocate(100, greatest));
    BOOST_TEST(is_aligned(block, greatest));
    std::memset(block, 1, 100);
    e.through_base ? base.deallocate(block, 100, greatest) : of->deallocate(block, 100, greatest);
  }
}

BOOST_DATA_TEST_CASE(alignments_that_are_none, resources, e) {
  contract_rig r(e);
  (void)r.allocate(100);
  const unchanged before(r);
  for (std::size_t alignment : {0uz, 3uz, 6uz, 12uz, 100uz, SIZE_MAX})
    for (std::size_t bytes : {0uz, 1uz, 100uz, 100'000uz, SIZE_MAX}) {
      BOOST_CHECK_THROW((void)r.allocate(bytes, alignment), std::invalid_argument);
      BOOST_TEST(unchanged(r) == before);
    }
}

BOOST_DATA_TEST_CASE(bytes_near_the_end_of_the_address_space, resources, e) {
  contract_rig r(e);
  constexpr std::size_t most = PTRDIFF_MAX;
  for (std::size_t used : {0uz, 100uz}) {
    if (used != 0) (void)r.allocate(used);
    const unchanged before(r);
    for (std::size_t bytes :
         {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX - 7, SIZE_MAX - 15, SIZE_MAX - 63, most, most + 1, most - 63})
      for (std::size_t alignment : {1uz, 8uz, 16uz, 64uz, 4096uz, std::size_t{1} << 30}) {
        BOOST_CHECK_THROW((void)r.allocate(bytes, alignment), std::bad_alloc);
        BOOST_TEST(unchanged(r) == before);
      }
  }
}

BOOST_DATA_TEST_CASE(counts_that_overflow, resources, e) {
  contract_rig r(e);
  (void)r.allocate(100);
  const unchanged before(r);
  for (std::size_t count : {SIZE_MAX, SIZE_MAX / 8 + 1, SIZE_MAX / 8 + 2, SIZE_MAX / 2}) {
    BOOST_CHECK_THROW(r.of().allocate_doubles(count), std::bad_array_new_length);
    BOOST_CHECK_THROW((void)std::pmr::polymorphic_allocator<double>(&r.of().base()).allocate(count),
                      std::bad_array_new_length);
    BOOST_CHECK_THROW((void)buffers::alloc<double>(r.of().base(), count), std::bad_array_new_length);
    BOOST_CHECK_THROW(r.of().alloc_chars(count, 16), std::bad_array_new_length);
    BOOST_TEST(unchanged(r) == before);
  }
  BOOST_CHECK_THROW(r.of().alloc_chars(std::size_t{1} << 32, std::size_t{1} << 32), std::bad_array_new_length);
  BOOST_TEST(unchanged(r) == before);
}

// Of a resource that is not fixed, upstream refuses the request: one that is fixed itself in its own words, which pass.
BOOST_DATA_TEST_CASE(more_than_there_is, resources, e) {
  contract_rig r(e, 1024);
  auto* const kept = r.allocate(900);
  std::memset(kept, 7, 900);
  const unchanged before(r);
  for (std::size_t bytes : {600uz, 1000uz, 100'000uz}) {
    if (!e.is_fixed) bytes = PTRDIFF_MAX / 2;
    try {
      (void)r.allocate(bytes);
      BOOST_ERROR(bytes << " bytes are too many");
    } catch (const exhausted& full) {
      if (e.is_fixed) {
        BOOST_TEST(full.requested() == bytes);
        BOOST_TEST(full.available() <= 124u);
        BOOST_TEST(full.capacity() == 1024u);
        BOOST_TEST(full.what() == "buffers: exhausted: " + std::to_string(bytes) + " bytes requested, " +
                                      std::to_string(full.available()) + " available, capacity 1024");
      } else {
        BOOST_TEST(full.requested() >= bytes);
        BOOST_TEST(full.available() < full.requested());
      }
    } catch (const std::bad_alloc&) {
      BOOST_TEST(!e.is_fixed);
    }
    BOOST_TEST(unchanged(r) == before);
  }
  BOOST_TEST((kept[0] == std::byte{7} && std::memcmp(kept, kept + 1, 899) == 0));
}

BOOST_DATA_TEST_CASE(upstream_that_fails_at_the_nth_call, resources, e) {
  for (std::int64_t limit = 0; limit < 8; ++limit) {
    contract_rig r(e, std::size_t{1} << 20);
    std::mt19937 random(static_cast<unsigned>(limit));
    std::vector<live_block> live;
    const auto give_back = [&](std::size_t i) {
      r.deallocate(live[i].first, live[i].bytes, live[i].alignment);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
    };
    r.upstream.set_allocation_limit(limit);
    std::size_t refused = 0, unlike = 0;
    for (int i = 0; i < 200; ++i) {
      if (i % 3 == 2 && !live.empty()) give_back(random() % live.size());
      const auto before = r.counters();
      const std::size_t bytes = 1 + random() % (i % 3 == 0 ? 30'000 : 500), alignment = std::size_t{1} << random() % 10;
      try {
        live.push_back({r.allocate(bytes, alignment), bytes, alignment});
        std::memset(live.back().first, 1, bytes);
      } catch (const std::bad_alloc&) {
        ++refused;
        unlike += r.counters() != before;
      }
    }
    BOOST_TEST(unlike == 0u);
    // Some of the table have no upstream, or get by with what they took first.
    if (r.upstream.refusals() != 0 && !e.is_fixed) BOOST_TEST(refused > 0u);
    r.upstream.set_allocation_limit(-1);
    if (!e.is_fixed) live.push_back({r.allocate(30'000), 30'000, 16});
    while (!live.empty()) give_back(random() % live.size());
    r.destroy();
    BOOST_TEST(r.upstream.first_mistake() == "");
    BOOST_TEST(r.upstream.is_clean());
  }
}

BOOST_DATA_TEST_CASE(contents_are_kept_and_upstream_gets_all_back, resources, e) {
  contract_rig r(e, std::size_t{1} << 22);
  std::mt19937 random(1);
  struct written {
    live_block block;
    std::byte fill;
  };
  std::vector<written> live;
  std::size_t damaged = 0;
  const auto give_back = [&](std::size_t i) {
    const auto [b, fill] = live[i];
    damaged += b.first[0] != fill || std::memcmp(b.first, b.first + 1, b.bytes - 1) != 0;
    r.deallocate(b.first, b.bytes, b.alignment);
    live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
  };
  for (int i = 0; i < 400; ++i) {
    const std::size_t bytes = 1 + random() % (i % 20 == 0 ? 30'000 : 700), alignment = std::size_t{1} << random() % 9;
    const std::byte fill{static_cast<unsigned char>(i)};
    live.push_back({{r.allocate(bytes, alignment), bytes, alignment}, fill});
    BOOST_REQUIRE(is_aligned(live.back().block.first, alignment));
    std::memset(live.back().block.first, std::to_integer<int>(fill), bytes);
    if (i % 3 != 0) give_back(random() % 2 == 0 ? live.size() - 1 : random() % live.size());
  }
  while (!live.empty()) give_back(live.size() - 1);
  BOOST_TEST(damaged == 0u);
  r.destroy();
  BOOST_TEST(r.upstream.first_mistake() == "");
  BOOST_TEST(r.upstream.is_clean());
}

// Not through memory_resource: libc++ declares that its deallocate gets no null.
BOOST_DATA_TEST_CASE(null_is_given_back, resources, e) {
  contract_rig r(e);
  const auto give_back_nothing = [&] {
    for (std::size_t bytes = 0; bytes <= 100; ++bytes) r.of().deallocate(nullptr, bytes, 16);
    r.of().deallocate(nullptr, 100'000, 4096);
  };
  const auto fresh = r.counters();
  give_back_nothing();
  BOOST_TEST(r.counters() == fresh);
  (void)r.allocate(100);
  const unchanged before(r);
  give_back_nothing();
  BOOST_TEST(unchanged(r) == before);
}

BOOST_DATA_TEST_CASE(equality_is_identity, resources, e) {
  contract_rig r(e), other(e);
  BOOST_TEST(r.of().base().is_equal(r.of().base()));
  BOOST_TEST(!r.of().base().is_equal(other.of().base()));
  BOOST_TEST(!r.of().base().is_equal(r.upstream));
}

BOOST_AUTO_TEST_SUITE_END()
