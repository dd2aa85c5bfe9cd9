#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <gsl/pointers>
#include <map>
#include <memory_resource>
#include <new>
#include <random>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;

using buffers::fallback_resource;
using buffers::test_resource;

namespace {

/// Hands out what it is told to, and fails as it is told to.
template <class Exception>
struct throwing_upstream final : std::pmr::memory_resource {
 private:
  void* do_allocate(std::size_t, std::size_t) override { throw Exception("thrown by upstream"); }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(fallback)

BOOST_AUTO_TEST_CASE(first_while_it_has_memory_and_then_second) {
  test_resource first, second;
  fallback_resource memory{&first, &second};
  BOOST_TEST(memory.upstream_resource() == &first);
  BOOST_TEST(memory.second_resource() == &second);
  void* const a = memory.allocate(10, 8);
  BOOST_TEST(first.live_bytes() == 10u);
  BOOST_TEST(memory.second_blocks() == 0u);
  first.set_allocation_limit(0);
  void* const b = memory.allocate(20, 64);
  BOOST_TEST(second.live_bytes() == 20u);
  BOOST_TEST(second.last_alignment() == 64u);
  BOOST_TEST(memory.second_blocks() == 1u);
  first.set_allocation_limit(-1);
  void* const c = memory.allocate(30);
  BOOST_TEST(first.live_bytes() == 40u);
  memory.deallocate(a, 10, 8);
  memory.deallocate(b, 20, 64);
  memory.deallocate(c, 30);
  BOOST_TEST(memory.second_blocks() == 0u);
  for (const test_resource* r : {&first, &second}) {
    BOOST_TEST(r->first_mistake() == "");
    BOOST_TEST(r->is_clean());
  }
}

/// A resource of the user's, which is never asked to throw.
struct no_memory final : std::pmr::memory_resource {
  void* try_allocate(std::size_t, std::size_t) noexcept { return nullptr; }

 private:
  void* do_allocate(std::size_t, std::size_t) override { throw std::logic_error("asked to throw"); }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
/// A class that may be the base of one with another do_allocate is asked by that.
struct not_final : std::pmr::memory_resource {
  void* try_allocate(std::size_t, std::size_t) noexcept { return nullptr; }

 private:
  void* do_allocate(std::size_t, std::size_t) override { return &byte; }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  std::byte byte;
};

BOOST_AUTO_TEST_CASE(first_is_tried_where_it_can_be) {
  test_resource second;
  no_memory never;
  fallback_resource tried{&never, &second};
  void* const a = tried.allocate(100, 8);
  BOOST_TEST(tried.second_blocks() == 1u);
  tried.deallocate(a, 100, 8);
  fallback_resource by_base{gsl::not_null<std::pmr::memory_resource*>(&never), &second};
  BOOST_CHECK_THROW((void)by_base.allocate(100, 8), std::logic_error);
  not_final open;
  fallback_resource asked{&open, &second};
  (void)asked.allocate(1, 1);
  BOOST_TEST(asked.second_blocks() == 0u);
  BOOST_TEST(asked.upstream_resource() == &open);
  BOOST_TEST(second.is_clean());
}

// While the table grows, second calls the user back, who allocates here.
BOOST_AUTO_TEST_CASE(second_may_allocate_from_it) {
  buffers::limit_resource none{0}, budget{600};
  fallback_resource* memory = nullptr;
  void* cache = nullptr;
  std::vector<void*> inside;
  buffers::retry_resource second{[&] {
                                   if (cache == nullptr) return false;
                                   memory->deallocate(std::exchange(cache, nullptr), 500);
                                   for (int i = 0; i < 8; ++i) inside.push_back(memory->allocate(8, 8));
                                   return true;
                                 },
                                 &budget};
  fallback_resource both{&none, &second};
  memory = &both;
  cache = both.allocate(500);
  std::vector<void*> small;
  for (int i = 0; i < 16; ++i) small.push_back(both.allocate(1, 1));
  BOOST_TEST(both.second_blocks() == 24u);
  for (void* block : small) both.deallocate(block, 1, 1);
  for (void* block : inside) both.deallocate(block, 8, 8);
  BOOST_TEST(both.second_blocks() == 0u);
  BOOST_TEST(budget.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_budget_whose_upstream_fails_falls_back_too) {
  test_resource first, second;
  buffers::limit_resource budget{1000, &first};
  fallback_resource memory{&budget, &second};
  first.set_allocation_limit(0);
  void* const a = memory.allocate(100);
  BOOST_TEST(memory.second_blocks() == 1u);
  BOOST_TEST(budget.used() == 0u);
  memory.deallocate(a, 100);
  BOOST_TEST(second.is_clean());
}

BOOST_AUTO_TEST_CASE(six_blocks_of_second_need_no_table) {
  test_resource second;
  {
    fallback_resource memory{std::pmr::null_memory_resource(), &second};
    std::vector<void*> blocks;
    for (std::size_t i = 1; i <= 6; ++i) {
      blocks.push_back(memory.allocate(100));
      BOOST_TEST(second.live_blocks() == i);
      BOOST_TEST(second.live_bytes() == 100 * i);
    }
    blocks.push_back(memory.allocate(100));
    BOOST_TEST(second.live_blocks() == 8u);
    BOOST_TEST(second.live_bytes() == 700 + 16 * sizeof(void*));
    for (void* block : blocks) memory.deallocate(block, 100);
    BOOST_TEST(second.live_blocks() == 0u);
  }
  BOOST_TEST(second.first_mistake() == "");
}

BOOST_AUTO_TEST_CASE(the_table_takes_11_to_22_bytes_for_each_block) {
  test_resource second;
  fallback_resource memory{std::pmr::null_memory_resource(), &second};
  std::vector<void*> blocks;
  for (std::size_t i = 1; i <= 10'000; ++i) {
    blocks.push_back(memory.allocate(1));
    const double table = static_cast<double>(second.live_bytes() - i);
    if (i > 6) BOOST_REQUIRE((table / static_cast<double>(i) > 10 && table / static_cast<double>(i) < 22));
  }
  BOOST_TEST(second.live_blocks() == 10'001u);
  for (void* block : blocks) memory.deallocate(block, 1);
  BOOST_TEST(second.is_clean());
}

// Which are in the table that is about to grow.
BOOST_AUTO_TEST_CASE(second_makes_room_by_giving_blocks_back) {
  test_resource heap;
  buffers::limit_resource budget{1500, &heap};
  fallback_resource* all = nullptr;
  std::vector<void*> kept;
  buffers::retry_resource second{[&] {
                                   const bool any = !kept.empty();
                                   for (void* block : kept) all->deallocate(block, 100, 16);
                                   kept.clear();
                                   return any;
                                 },
                                 &budget};
  std::byte one[1];
  buffers::bump_resource first{std::span{one}};
  fallback_resource memory{&first, &second};
  all = &memory;
  for (int i = 0; i < 12; ++i) kept.push_back(memory.allocate(100, 16));
  void* const block = memory.allocate(100, 16);
  BOOST_TEST(kept.empty());
  BOOST_TEST(memory.second_blocks() == 1u);
  memory.deallocate(block, 100, 16);
  BOOST_TEST(memory.second_blocks() == 0u);
  BOOST_TEST(budget.used() == 0u);
  BOOST_TEST(heap.live_blocks() == 0u);
}

BOOST_AUTO_TEST_CASE(both_fail_and_nothing_has_changed) {
  test_resource first, second;
  fallback_resource memory{&first, &second};
  first.set_allocation_limit(0);
  std::vector<void*> blocks;
  for (std::size_t round = 0; round < 30; ++round) {
    // The block, and then, at some of them, the table.
    for (std::int64_t limit : {0, 1}) {
      const std::size_t bytes = second.live_bytes(), count = second.live_blocks();
      second.set_allocation_limit(limit);
      try {
        void* const block = memory.allocate(50);
        BOOST_TEST(limit == 1);
        memory.deallocate(block, 50);
      } catch (const std::bad_alloc&) {
        BOOST_TEST((limit == 0 || round == 6 || round == 12 || round == 24));
      }
      BOOST_TEST(second.live_bytes() == bytes);
      BOOST_TEST(second.live_blocks() == count);
      BOOST_TEST(memory.second_blocks() == round);
    }
    second.set_allocation_limit(-1);
    blocks.push_back(memory.allocate(50));
  }
  for (void* block : blocks) memory.deallocate(block, 50);
  BOOST_TEST(second.first_mistake() == "");
  BOOST_TEST(second.is_clean());
}

BOOST_AUTO_TEST_CASE(what_is_no_lack_of_memory_passes) {
  test_resource second;
  throwing_upstream<std::invalid_argument> first;
  fallback_resource memory{&first, &second};
  BOOST_CHECK_THROW((void)memory.allocate(10), std::invalid_argument);
  BOOST_TEST(second.allocations() == 0u);
  throwing_upstream<std::runtime_error> last;
  fallback_resource other{std::pmr::null_memory_resource(), &last};
  BOOST_CHECK_THROW((void)other.allocate(10), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(requests_that_nobody_can_serve_reach_neither) {
  test_resource first, second;
  fallback_resource memory{&first, &second};
  BOOST_CHECK_THROW((void)memory.allocate(SIZE_MAX), std::bad_alloc);
  BOOST_CHECK_THROW((void)memory.allocate(10, 3), std::invalid_argument);
  BOOST_TEST(memory.allocate(0) != nullptr);
  for (const test_resource* r : {&first, &second}) BOOST_TEST(r->last_alignment() == 0u);
}

BOOST_AUTO_TEST_CASE(when_second_has_no_blocks_it_may_be_reset) {
  test_resource upstream;
  buffers::slab_resource second{{}, &upstream};
  buffers::limit_resource counted{SIZE_MAX, &second};
  fallback_resource memory{std::pmr::null_memory_resource(), &counted};
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i) blocks.push_back(memory.allocate(10));
    for (void* block : blocks) memory.deallocate(block, 10);
    BOOST_TEST(counted.used() == 0u);
    second.release();
    BOOST_TEST(upstream.live_blocks() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(every_block_goes_back_to_where_it_is_from) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    test_resource first, second;
    {
      fallback_resource memory{&first, &second};
      struct block {
        void* memory;
        std::size_t bytes, alignment;
        bool from_second;
      };
      std::vector<block> live;
      std::size_t in_second = 0;
      for (int i = 0; i < 1500; ++i) {
        if (random() % 20 == 0) first.set_allocation_limit(random() % 2 == 0 ? 0 : -1);
        if (live.empty() || random() % (i < 1000 ? 3 : 1) != 0) {
          const std::size_t bytes = 1 + random() % 100, alignment = std::size_t{1} << random() % 7;
          const std::size_t before = first.live_blocks();
          void* const made = memory.allocate(bytes, alignment);
          live.push_back({made, bytes, alignment, first.live_blocks() == before});
          in_second += live.back().from_second;
        } else {
          const std::size_t which = random() % live.size();
          const block b = live[which];
          memory.deallocate(b.memory, b.bytes, b.alignment);
          in_second -= b.from_second;
          live[which] = live.back();
          live.pop_back();
        }
        BOOST_REQUIRE(memory.second_blocks() == in_second);
        BOOST_REQUIRE(first.live_blocks() == live.size() - in_second);
        BOOST_REQUIRE(first.mistakes() + second.mistakes() == 0u);
      }
      for (const block& b : live) memory.deallocate(b.memory, b.bytes, b.alignment);
    }
    BOOST_TEST(first.is_clean());
    BOOST_TEST(second.is_clean());
  }
}

// Their hashes fall on the same places, so that one erase moves many.
BOOST_AUTO_TEST_CASE(blocks_close_together_and_far_apart) {
  for (std::size_t stride : {1uz, 16uz, 64uz, 4096uz, std::size_t{1} << 16}) {
    buffers::page_resource pages;
    const std::size_t count = 200;
    auto* const area = static_cast<std::byte*>(pages.allocate(stride * count));
    struct strided final : std::pmr::memory_resource {
      std::byte* at = nullptr;
      std::size_t stride = 0;
      void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (bytes != 1) return std::pmr::new_delete_resource()->allocate(bytes, alignment);  // the table
        at += stride;
        return at - stride;
      }
      void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
        if (bytes != 1) std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
      }
      bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
    } second;
    second.at = area;
    second.stride = stride;
    test_resource first;
    first.set_allocation_limit(0);
    fallback_resource memory{&first, &second};
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < count; ++i) blocks.push_back(memory.allocate(1, 1));
    std::mt19937 random(7);
    std::ranges::shuffle(blocks, random);
    for (std::size_t i = 0; i < count; ++i) {
      memory.deallocate(blocks[i], 1, 1);
      BOOST_REQUIRE(memory.second_blocks() == count - 1 - i);
    }
    BOOST_TEST(first.deallocations() == 0u);
    pages.deallocate(area, stride * count);
  }
}

BOOST_AUTO_TEST_CASE(from_the_stack_to_the_heap) {
  alignas(64) std::byte storage[1024];
  buffers::bump_resource stack{std::span{storage}};
  test_resource heap;
  {
    fallback_resource memory{&stack, &heap};
    std::pmr::vector<int> few(100, 0, &memory);
    std::pmr::vector<int> many(10'000, 0, &memory);
    BOOST_TEST(stack.owns(few.data()));
    BOOST_TEST(memory.second_blocks() == 1u);
    std::pmr::map<int, int> nodes(&memory);
    for (int i = 0; i < 500; ++i) nodes[i] = i;
    for (int i = 0; i < 500; i += 3) nodes.erase(i);
    BOOST_TEST(nodes.size() == 333u);
  }
  BOOST_TEST(heap.first_mistake() == "");
  BOOST_TEST(heap.is_clean());
}

BOOST_AUTO_TEST_CASE(three_in_a_row) {
  test_resource first, second, third;
  first.set_allocation_limit(1);
  second.set_allocation_limit(1);
  {
    fallback_resource later{&second, &third};
    fallback_resource memory{&first, &later};
    void* blocks[3];
    for (void*& block : blocks) block = memory.allocate(10);
    BOOST_TEST(first.live_blocks() == 1u);
    BOOST_TEST(second.live_blocks() == 1u);
    BOOST_TEST(third.live_blocks() == 1u);
    for (void* block : blocks) memory.deallocate(block, 10);
  }
  for (const test_resource* r : {&first, &second, &third}) {
    BOOST_TEST(r->first_mistake() == "");
    BOOST_TEST(r->is_clean());
  }
}

BOOST_AUTO_TEST_SUITE_END()
