// Random programs on an arena, each step compared with a model: no two live blocks overlap, contents are kept, counters
// fit, and what must fail fails and changes nothing.
// To be included as kinds.hpp is, and after <algorithm>, <new>, <stdexcept>, <utility> and <vector>.
#pragma once
#include "contract/kinds.hpp"
#include "programs/choices.hpp"
#include "support/require.hpp"

template <class K>
class arena_program {
 public:
  explicit arena_program(choices& from) : from_(from), r_(16 * 1024) {}

  /// Returns how many steps it did.
  std::size_t run(std::size_t steps) {
    play(steps, 0);
    check();
    resource().reset();
    require(resource().used() == 0);
    resource().release();
    require(r_.upstream.live_blocks() == 0);
    require(r_.upstream.mistakes() == 0);
    return done_;
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
  std::size_t up_to(std::size_t n) { return from_.up_to(n); }

  void play(std::size_t steps, int depth) {
    for (; steps != 0 && !from_.done(); --steps) {
      const std::size_t choice = up_to(99);
      if (choice < 44)
        allocate();
      else if (choice < 61)
        give_back();
      else if (choice < 69)
        resize();
      else if (choice < 76)
        moments_.push_back({resource().checkpoint(), number_, resource().used()});
      else if (choice < 83)
        restore(depth);
      else if (choice < 91)
        in_a_scope(depth);
      else if (choice < 93)
        trim();
      else if (choice < 94)
        reset(depth);
      else if (choice < 95)
        reshape(depth);
      else if (choice < 96)
        set_extendable();
      else if (choice < 97)
        reset_peak();
      else
        fail();
      check();
      ++done_;
    }
  }

  void allocate() {
    const std::size_t most[] = {0, 8, 8, 64, 64, 64, 64, 64, 255, 255, 255, 255, 255, 255, 3000, 20'000};
    const std::size_t bytes = up_to(most[up_to(15)]), alignment = std::size_t{1} << up_to(from_.one_in(4) ? 12 : 6);
    const state before = counters();
    const bool refuse = from_.one_in(10);
    if (refuse) r_.upstream.set_allocation_limit(0);
    try {
      std::byte* const first = r_.allocate(bytes, alignment);
      require(is_aligned(first, alignment));
      for (const block& b : live_) require(bytes == 0 || first >= b.first + b.bytes || b.first >= first + bytes);
      const std::byte fill{static_cast<unsigned char>(++number_)};
      std::ranges::fill(std::span(first, bytes), fill);
      live_.push_back({first, bytes, alignment, number_, fill});
    } catch (const std::bad_alloc&) {
      require(counters() == before);
      require(refuse || is_fixed_);
    }
    r_.upstream.set_allocation_limit(-1);
  }

  // By deallocate or by drop, singly or several.
  void give_back() {
    if (live_.empty()) return;
    if (from_.one_in(2)) {
      const std::size_t i = from_.one_in(3) ? from_.below(live_.size()) : live_.size() - 1;
      check(live_[i]);
      r_.deallocate(live_[i].first, live_[i].bytes, live_[i].alignment);
      live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    const std::size_t count = std::min(live_.size(), 1 + up_to(3));
    for (std::size_t left = live_.size(); left > live_.size() - count; --left)
      std::swap(live_[left - 1], live_[from_.below(left)]);
    std::vector<std::span<std::byte>> dropped;
    for (std::size_t i = 0; i < count; ++i) {
      const block& b = live_[live_.size() - 1 - i];
      dropped.push_back(b.bytes == 0 ? std::span<std::byte>() : std::span(b.first, b.bytes));
    }
    const bool twice = from_.one_in(8) && !dropped[0].empty();
    if (twice) {
      const state before = counters();
      dropped.push_back(dropped[0]);
      require_throws<std::invalid_argument>([&] { resource().drop(dropped); });
      require(counters() == before);
      dropped.pop_back();
    }
    resource().drop(dropped);
    if (twice) require_throws<std::invalid_argument>([&] { resource().drop(std::span(dropped).first(1)); });
    live_.resize(live_.size() - count);
    std::ranges::sort(live_, {}, &block::number);
  }

  void resize() {
    if (live_.empty()) return;
    block& b = live_[from_.one_in(2) ? live_.size() - 1 : from_.below(live_.size())];
    if (b.bytes == 0) return;
    if (from_.one_in(2)) {
      const std::size_t bytes = b.bytes + up_to(200);
      if (!resource().try_expand(b.first, b.bytes, bytes)) return;
      for (const block& other : live_) require(&other == &b || other.first < b.first || other.first >= b.first + bytes);
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
    const std::size_t i = from_.below(moments_.size());
    const state before = counters();
    if (i < opened_at_) {
      require(depth > 0);
      require_throws<buffers::order_error>([&] { resource().restore(moments_[i].cp); });
      require(counters() == before);
      return;
    }
    const std::vector<moment> dead(moments_.begin() + static_cast<std::ptrdiff_t>(i) + 1, moments_.end());
    moments_.resize(i + 1);
    resource().restore(moments_[i].cp);
    forget_after(moments_[i].number);
    require(resource().used() <= moments_[i].used);
    const state restored = counters();
    for (const moment& m : dead) require_throws<buffers::order_error>([&] { resource().restore(m.cp); });
    require(counters() == restored);
  }

  void in_a_scope(int depth) {
    if (depth == 4) return;
    const std::size_t number = number_, used = resource().used(), moments = moments_.size();
    const std::size_t opened_before = std::exchange(opened_at_, moments);
    {
      buffers::scope inner{resource()};
      play(up_to(12), depth + 1);
    }
    opened_at_ = opened_before;
    moments_.resize(moments);
    forget_after(number);
    require(resource().used() <= used);
  }

  void trim() {
    const std::size_t used = resource().used(), capacity = resource().capacity(), upstream = r_.upstream.live_bytes();
    const std::size_t given = resource().trim(up_to(5000));
    require(resource().used() <= used);  // less when it leaves an empty slab with dropped blocks below
    require(resource().capacity() <= capacity);
    require(r_.upstream.live_bytes() + given <= upstream);
  }

  void reset(int depth) {
    if (depth > 0) {
      const state before = counters();
      require_throws<buffers::order_error>([&] { resource().reset(); });
      require_throws<buffers::order_error>([&] { resource().release(); });
      require(counters() == before);
      return;
    }
    from_.one_in(2) ? resource().reset() : resource().release();
    forget_all();
    require(resource().used() == 0);
  }
  void forget_all() {
    live_.clear();
    moments_.clear();
  }

  // One array over all of it, once or twice, and then blocks again.
  void reshape(int depth) {
    if (depth > 0) return;
    resource().reset();
    forget_all();
    for (std::size_t times = 1 + up_to(1); times != 0; --times) {
      const std::size_t bytes = 1 + up_to(4095);
      try {
        std::byte* const first = resource().reshape(bytes);
        std::ranges::fill(std::span(first, bytes), std::byte{1});
        require_throws<buffers::order_error>([&] { (void)r_.allocate(1); });
        require(resource().used() == 0);
        require(resource().owns(first) && resource().owns(first + bytes - 1));
      } catch (const std::bad_alloc&) {
        require(is_fixed_);
      }
    }
    resource().reset();
  }

  void set_extendable() {
    if constexpr (requires { resource().set_extendable(); }) {
      is_fixed_ = from_.one_in(2);
      resource().set_extendable(!is_fixed_);
    }
  }

  void reset_peak() {
    resource().reset_peak();
    peak_ = resource().used();
    require(resource().peak() == peak_);
  }

  void fail() {
    const state before = counters();
    const std::size_t bytes = up_to(99);
    require_throws<std::bad_alloc>([&] { (void)r_.allocate(SIZE_MAX - bytes, std::size_t{1} << up_to(30)); });
    require_throws<std::invalid_argument>([&] { (void)r_.allocate(bytes, 48); });
    require_throws<std::invalid_argument>([&] { (void)r_.allocate(bytes, 0); });
    require(counters() == before);
  }

  state counters() { return {resource().used(), resource().peak(), resource().capacity(), r_.upstream.live_bytes()}; }

  void check(const block& b, bool in_passing = false) {
    require(is_filled(b.first, b.bytes, b.fill, in_passing));
    require(b.bytes == 0 || resource().owns(b.first));
  }
  void check() {
    std::size_t bytes = 0;
    for (const block& b : live_) {
      bytes += b.bytes;
      check(b, true);
    }
    require(resource().used() >= bytes);
    require(resource().used() <= resource().capacity());
    peak_ = std::max(peak_, resource().used());
    require(resource().peak() >= peak_);
  }

  choices& from_;
  rig<K> r_;
  std::vector<block> live_;
  std::vector<moment> moments_;
  std::size_t opened_at_ = 0, number_ = 0, peak_ = 0, done_ = 0;
  bool is_fixed_ = rig<K>::is_fixed;
};
