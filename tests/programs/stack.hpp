// Random programs on any resource or stack of adaptors, through what all of them have: no two live blocks overlap,
// contents are kept, what must fail fails and changes nothing, and upstream gets all back.
// To be included as contract/table.hpp is, and after <algorithm>, <new>, <stdexcept> and <vector>.
#pragma once
#include "contract/table.hpp"
#include "programs/choices.hpp"
#include "support/require.hpp"

class stack_program {
 public:
  stack_program(const entry& e, choices& from) : from_(from), ends_(e.ends), r_(e, 48 * 1024) {}

  /// Returns how many steps it did.
  std::size_t run(std::size_t steps) {
    std::size_t done = 0;
    for (; done != steps && !from_.done(); ++done) {
      step();
      for (const block& b : live_) require(is_filled(b.first, b.bytes, b.fill, true));
    }
    while (!live_.empty()) give_back(live_.size() - 1);
    r_.destroy();
    require(r_.upstream.mistakes() == 0);
    require(r_.upstream.is_clean());
    return done;
  }

 private:
  struct block {
    std::byte* first;
    std::size_t bytes, alignment;
    std::byte fill;
  };

  void step() {
    const std::size_t choice = from_.up_to(99);
    if (choice < 50)
      allocate(size(), std::size_t{1} << from_.up_to(from_.one_in(4) ? 12 : 6));
    else if (choice < 88 && !live_.empty())
      give_back(from_.one_in(2) ? live_.size() - 1 : from_.below(live_.size()));
    else if (choice < 92)
      r_.upstream.set_allocation_limit(static_cast<std::int64_t>(from_.up_to(3)));
    else if (choice < 96)
      r_.upstream.set_allocation_limit(-1);
    else
      fail();
  }

  // Around the borders of buckets, slabs and pages, or any.
  std::size_t size() {
    const std::size_t borders[] = {8, 16, 64, 128, 256, 512, 1024, 4096, 16'384};
    if (from_.one_in(3)) return borders[from_.up_to(8)] + from_.up_to(2) - 1;
    return from_.up_to(from_.one_in(8) ? 20'000 : 255);
  }

  void allocate(std::size_t bytes, std::size_t alignment) {
    const std::size_t used = r_.of().used();
    const std::size_t refusals = r_.upstream.refusals();
    try {
      std::byte* const first = r_.allocate(bytes, alignment);
      require(is_aligned(first, alignment));
      for (const block& b : live_) require(bytes == 0 || first >= b.first + b.bytes || b.first >= first + bytes);
      const std::byte fill{static_cast<unsigned char>(++number_)};
      std::ranges::fill(std::span(first, bytes), fill);
      live_.push_back({first, bytes, alignment, fill});
    } catch (const std::bad_alloc&) {
      require(ends_ || r_.upstream.refusals() != refusals);
      require(r_.of().used() == used);  // what is free may have gone upstream in the attempt
    }
  }

  void give_back(std::size_t i) {
    const block b = live_[i];
    require(is_filled(b.first, b.bytes, b.fill, false));
    r_.deallocate(b.first, b.bytes, b.alignment);
    live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  void fail() {
    const auto before = r_.counters();
    const std::size_t bytes = from_.up_to(99);
    require_throws<std::bad_alloc>([&] { (void)r_.allocate(SIZE_MAX - bytes, std::size_t{1} << from_.up_to(30)); });
    require_throws<std::invalid_argument>([&] { (void)r_.allocate(bytes, 48); });
    require_throws<std::invalid_argument>([&] { (void)r_.allocate(bytes, 0); });
    r_.of().deallocate(nullptr, bytes, 16);
    require(r_.counters() == before);
  }

  choices& from_;
  bool ends_;
  contract_rig r_;
  std::vector<block> live_;
  std::size_t number_ = 0;
};
