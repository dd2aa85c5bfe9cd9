// Random programs on every arena, each step compared with a model: no two live blocks overlap, contents are kept,
// counters fit, and what must fail fails and changes nothing.
#include <unistd.h>

#include <algorithm>
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
#include <ostream>
#include <random>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;
#include "contract/kinds.hpp"

namespace {

template <class K>
class program {
 public:
  explicit program(unsigned seed) : random_(seed), r_(32 * 1024) {}

  void run(int steps) {
    play(steps, 0);
    check();
    resource().reset();
    BOOST_REQUIRE(resource().used() == 0u);
    resource().release();
    BOOST_REQUIRE(r_.upstream.live_blocks() == 0u);
    BOOST_REQUIRE(r_.upstream.first_mistake() == "");
  }

 private:
  struct block {
    std::byte* first;
    std::size_t bytes, alignment, number;
    std::byte fill;
  };
  using checkpoint_type = decltype(std::declval<rig<K>&>().resource().checkpoint());
  struct moment {
    checkpoint_type cp;
    std::size_t number, used;
  };

  auto& resource() { return r_.resource(); }
  std::size_t up_to(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random_); }

  void play(int steps, int depth) {
    for (int i = 0; i < steps; ++i) {
      const std::size_t choice = up_to(99);
      if (choice < 45)
        allocate();
      else if (choice < 62)
        give_back(depth);
      else if (choice < 70)
        resize();
      else if (choice < 77)
        moments_.push_back({resource().checkpoint(), number_, resource().used()});
      else if (choice < 84)
        restore(depth);
      else if (choice < 92)
        in_a_scope(depth);
      else if (choice < 94)
        trim();
      else if (choice < 95)
        reset(depth);
      else
        fail();
      check();
    }
  }

  void allocate() {
    const std::size_t most[] = {0, 8, 64, 64, 300, 300, 3000, 20'000};
    const std::size_t bytes = up_to(most[up_to(7)]),
                      alignment = std::size_t{1} << (up_to(3) == 0 ? up_to(12) : up_to(6));
    const state before = counters();
    const bool refuse = up_to(9) == 0;
    if (refuse) r_.upstream.set_allocation_limit(0);
    try {
      std::byte* const first = r_.allocate(bytes, alignment);
      BOOST_REQUIRE(is_aligned(first, alignment));
      for (const block& b : live_)
        if (bytes != 0 && first < b.first + b.bytes && b.first < first + bytes)
          BOOST_FAIL("overlaps block " << b.number);
      const std::byte fill{static_cast<unsigned char>(up_to(255))};
      std::ranges::fill(std::span(first, bytes), fill);
      live_.push_back({first, bytes, alignment, ++number_, fill});
    } catch (const std::bad_alloc&) {
      BOOST_REQUIRE(counters() == before);
      BOOST_REQUIRE((refuse || rig<K>::is_fixed));
    }
    r_.upstream.set_allocation_limit(-1);
  }

  // By deallocate or by drop, singly or several.
  void give_back(int) {
    if (live_.empty()) return;
    if (up_to(1) == 0) {
      const std::size_t i = up_to(2) == 0 ? up_to(live_.size() - 1) : live_.size() - 1;
      r_.deallocate(live_[i].first, live_[i].bytes, live_[i].alignment);
      live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    std::ranges::shuffle(live_, random_);
    const std::size_t count = std::min<std::size_t>(live_.size(), 1 + up_to(3));
    std::vector<std::span<std::byte>> dropped;
    for (std::size_t i = 0; i < count; ++i) {
      const block& b = live_[live_.size() - 1 - i];
      dropped.push_back(b.bytes == 0 ? std::span<std::byte>() : std::span(b.first, b.bytes));
    }
    resource().drop(dropped);
    live_.resize(live_.size() - count);
    std::ranges::sort(live_, {}, &block::number);
  }

  void resize() {
    if (live_.empty()) return;
    block& b = live_[up_to(1) == 0 ? live_.size() - 1 : up_to(live_.size() - 1)];
    if (b.bytes == 0) return;
    if (up_to(1) == 0) {
      const std::size_t bytes = b.bytes + up_to(200);
      if (!resource().try_expand(b.first, b.bytes, bytes)) return;
      std::ranges::fill(std::span(b.first, bytes).subspan(b.bytes), b.fill);
      b.bytes = bytes;
    } else {
      const std::size_t bytes = 1 + up_to(b.bytes - 1);
      if (resource().shrink(b.first, b.bytes, bytes)) b.bytes = bytes;
    }
  }

  void forget_after(std::size_t number) {
    std::erase_if(live_, [&](const block& b) { return b.number > number; });
  }

  void restore(int depth) {
    if (moments_.empty()) return;
    const std::size_t i = up_to(moments_.size() - 1);
    const state before = counters();
    if (i < opened_at_) {
      BOOST_REQUIRE(depth > 0);
      BOOST_REQUIRE_THROW(resource().restore(moments_[i].cp), buffers::order_error);
      BOOST_REQUIRE(counters() == before);
      return;
    }
    const std::vector<moment> dead(moments_.begin() + static_cast<std::ptrdiff_t>(i) + 1, moments_.end());
    moments_.resize(i + 1);
    resource().restore(moments_[i].cp);
    forget_after(moments_[i].number);
    BOOST_REQUIRE(resource().used() <= moments_[i].used);
    const state restored = counters();
    for (const moment& m : dead) BOOST_REQUIRE_THROW(resource().restore(m.cp), buffers::order_error);
    BOOST_REQUIRE(counters() == restored);
  }

  void in_a_scope(int depth) {
    if (depth == 4) return;
    const std::size_t number = number_, used = resource().used(), moments = moments_.size();
    const std::size_t opened_before = std::exchange(opened_at_, moments);
    {
      buffers::scope inner{resource()};
      play(static_cast<int>(up_to(12)), depth + 1);
    }
    opened_at_ = opened_before;
    moments_.resize(moments);
    forget_after(number);
    BOOST_REQUIRE(resource().used() <= used);
  }

  void trim() {
    const std::size_t used = resource().used(), capacity = resource().capacity(), upstream = r_.upstream.live_bytes();
    const std::size_t given = resource().trim(up_to(5000));
    BOOST_REQUIRE(resource().used() <= used);  // less when it leaves an empty slab with dropped blocks below
    BOOST_REQUIRE(resource().capacity() <= capacity);
    BOOST_REQUIRE(r_.upstream.live_bytes() + given <= upstream);
  }

  void reset(int depth) {
    if (depth > 0) {
      const state before = counters();
      BOOST_REQUIRE_THROW(resource().reset(), buffers::order_error);
      BOOST_REQUIRE(counters() == before);
      return;
    }
    up_to(1) == 0 ? resource().reset() : resource().release();
    live_.clear();
    moments_.clear();
    BOOST_REQUIRE(resource().used() == 0u);
  }

  void fail() {
    const state before = counters();
    BOOST_REQUIRE_THROW((void)r_.allocate(SIZE_MAX - up_to(100), std::size_t{1} << up_to(30)), std::bad_alloc);
    BOOST_REQUIRE_THROW((void)r_.allocate(up_to(100), 48), std::invalid_argument);
    BOOST_REQUIRE(counters() == before);
  }

  state counters() { return {resource().used(), resource().peak(), resource().capacity(), r_.upstream.live_bytes()}; }

  void check() {
    std::size_t bytes = 0;
    for (const block& b : live_) {
      bytes += b.bytes;
      if (b.bytes == 0) continue;
      // All bytes of one value: the first is right, and each is as the one before it.
      const bool intact = b.first[0] == b.fill && std::memcmp(b.first, b.first + 1, b.bytes - 1) == 0;
      if (!intact || !resource().owns(b.first)) BOOST_FAIL("block " << b.number << " of " << b.bytes << " bytes");
    }
    BOOST_REQUIRE(resource().used() >= bytes);
    BOOST_REQUIRE(resource().used() <= resource().capacity());
    peak_ = std::max(peak_, resource().used());
    BOOST_REQUIRE(resource().peak() >= peak_);
  }

  std::mt19937 random_;
  rig<K> r_;
  std::vector<block> live_;
  std::vector<moment> moments_;
  std::size_t opened_at_ = 0, number_ = 0, peak_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(random_programs)

BOOST_AUTO_TEST_CASE_TEMPLATE(against_a_model, K, arenas) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) { program<K>(seed).run(150); }
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
