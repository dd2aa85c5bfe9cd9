// Which blocks are live at an event of a trace: what replay and the pictures have in common.
// To be included after <cstdint>, <memory_resource>, <unordered_map> and <utility>.
#pragma once

namespace buffers::detail {

/// Follows the events of a trace. Of each live block it keeps a Block.
template <class Block>
class live_blocks {
 public:
  explicit live_blocks(std::pmr::memory_resource* memory) : live_(memory), moving_(memory) {}

  /// Calls come(e), which returns the Block, for one that comes, and go(block) for one that goes: where realloc has
  /// moved one, in this order, as there is no other way for a resource. False when the event does not fit: a block
  /// goes that has not come, or one comes where one is, of which go() is called first.
  template <class Event, class Come, class Go>
  bool follow(const Event& e, Come come, Go go) {
    using operation = decltype(e.operation);
    switch (e.operation) {
      case operation::allocate: {
        const auto there = live_.find(e.address);
        const bool fits = there == live_.end();
        if (!fits) {
          go(there->second);
          live_.erase(there);
        }
        live_.emplace(e.address, come(e));
        if (!moving_.empty())
          if (const auto from = moving_.find(e.thread); from != moving_.end()) {
            go(from->second.second);
            moving_.erase(from);
          }
        return fits;
      }
      case operation::deallocate: {
        const auto there = live_.find(e.address);
        if (there == live_.end()) return false;
        go(there->second);
        live_.erase(there);
        return true;
      }
      case operation::move: {
        const auto there = live_.find(e.address);
        if (there == live_.end()) return false;
        moving_.insert_or_assign(e.thread, std::pair(e.address, there->second));
        live_.erase(there);
        return true;
      }
      case operation::failed:
        if (const auto from = moving_.find(e.thread); from != moving_.end()) {  // it stays where it is
          live_.insert_or_assign(from->second.first, from->second.second);
          moving_.erase(from);
        }
        return true;
    }
    return false;
  }

  /// f(address, block) for each.
  template <class F>
  void for_each(F f) const {
    for (const auto& [address, block] : live_) f(address, block);
    for (const auto& [thread, from] : moving_) f(from.first, from.second);
  }

 private:
  std::pmr::unordered_map<std::uintptr_t, Block> live_;
  std::pmr::unordered_map<std::uint32_t, std::pair<std::uintptr_t, Block>> moving_;  // by thread
};

}  // namespace buffers::detail
