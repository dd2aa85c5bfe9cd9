// A program of allocations over any buffer, for finding out how large the buffer has to be.
// To be included after `import buffers;`, <algorithm>, <cstddef>, <mdspan>, <random>, <utility> and <vector>.
#pragma once

/// A random program over any buffer, always the same for one seed.
class random_program {
 public:
  /// Blocks are aligned to up to 2^strictest. A tame one gives nothing back that is older than a scope or a checkpoint,
  /// and resizes no block.
  random_program(unsigned seed, std::size_t strictest, bool tame = false)
      : seed_(seed), strictest_(strictest), tame_(tame) {}

  /// Returns how many blocks grew in place: a program does not fail when one cannot.
  template <class Buffer>
  std::size_t operator()(Buffer& buffer) const {
    run<Buffer> r(*this, buffer);
    r.play(120, 0);
    return r.grown;
  }

 private:
  template <class Buffer>
  struct run {
    run(const random_program& p, Buffer& b) : buffer(b), random(p.seed_), strictest(p.strictest_), tame(p.tame_) {}

    using view = std::mdspan<char, std::dextents<std::size_t, 1>>;
    using checkpoint = decltype(std::declval<Buffer&>().checkpoint());
    struct live_view {
      view at;
      std::size_t number;
      std::size_t alignment;
    };
    struct moment {
      checkpoint cp;
      std::size_t number;
    };

    std::size_t up_to(std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random); }

    void play(int steps, int depth) {
      for (int step = 0; step < steps; ++step) {
        const std::size_t choice = up_to(99);
        if (choice < 45)
          allocate();
        else if (choice < 60)
          give_back();
        else if (choice < 68)
          resize();
        else if (choice < 74)
          moments.push_back({buffer.checkpoint(), number});
        else if (choice < 80)
          restore();
        else if (choice < 92)
          in_a_scope(depth);
        else if (choice < 95 && depth == 0)
          reset();
      }
    }
    void allocate() {
      const std::size_t most[] = {0, 8, 64, 64, 300, 3000};
      const std::size_t bytes = up_to(most[up_to(5)]), exponent = up_to(strictest);
      const std::size_t align = std::size_t{1} << (up_to(2) == 0 ? exponent : std::min(exponent, 4uz));
      live.push_back({buffers::alloc<char>(buffer, buffers::alignment{align}, bytes), ++number, align});
    }
    // The first block that may be given back.
    std::size_t first_free() const {
      if (!tame) return 0;
      const std::size_t last = std::max(scope_number, moments.empty() ? 0 : moments.back().number);
      return static_cast<std::size_t>(std::ranges::find_if(live, [&](const live_view& v) { return v.number > last; }) -
                                      live.begin());
    }
    void give_back() {
      const std::size_t first = first_free();
      if (first == live.size()) return;
      const auto any = [&] { return first + up_to(live.size() - 1 - first); };
      if (up_to(2) == 0) {
        const std::size_t i = up_to(1) == 0 ? live.size() - 1 : any();
        buffer.deallocate(live[i].at.data_handle(), live[i].at.size(), live[i].alignment);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
        return;
      }
      const std::size_t i = any(), j = any();
      const view dropped = live[i].at, another = live[j].at;
      i == j ? buffers::drop(buffer, dropped) : buffers::drop(buffer, dropped, another);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(std::max(i, j)));
      if (i != j) live.erase(live.begin() + static_cast<std::ptrdiff_t>(std::min(i, j)));
    }
    void resize() {
      if (live.empty() || tame) return;
      live_view& v = live[up_to(1) == 0 ? live.size() - 1 : up_to(live.size() - 1)];
      const std::size_t more = v.at.size() + up_to(100), less = 1 + up_to(50);
      if (v.at.empty()) return;
      if (up_to(1) == 0) {
        if (buffer.try_expand(v.at.data_handle(), v.at.size(), more)) {
          v.at = view(v.at.data_handle(), more);
          ++grown;
        }
      } else if (buffer.shrink(v.at.data_handle(), v.at.size(), less)) {
        v.at = view(v.at.data_handle(), less);
      }
    }
    void forget_after(std::size_t last) {
      std::erase_if(live, [&](const live_view& v) { return v.number > last; });
    }
    void keep_moments(std::size_t count) {
      moments.erase(moments.begin() + static_cast<std::ptrdiff_t>(count), moments.end());
    }
    void restore() {
      if (moments.size() == opened_at) return;
      keep_moments(opened_at + 1 + up_to(moments.size() - opened_at - 1));
      buffer.restore(moments.back().cp);
      forget_after(moments.back().number);
    }
    void in_a_scope(int depth) {
      if (depth == 4) return;
      const std::size_t before = number, outer = moments.size(), opened_before = opened_at, scope_before = scope_number;
      opened_at = outer;
      scope_number = number;
      {
        buffers::scope inner{buffer};
        play(static_cast<int>(up_to(12)), depth + 1);
      }
      opened_at = opened_before;
      scope_number = scope_before;
      keep_moments(outer);
      forget_after(before);
    }
    void reset() {
      buffer.reset();
      live.clear();
      moments.clear();
    }

    Buffer& buffer;
    std::mt19937 random;
    std::size_t strictest;
    bool tame;
    std::vector<live_view> live;
    std::vector<moment> moments;
    std::size_t opened_at = 0, number = 0, scope_number = 0, grown = 0;
  };

  unsigned seed_;
  std::size_t strictest_;
  bool tame_;
};
