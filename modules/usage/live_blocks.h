// Which blocks are live at an event of a trace: what replay and the pictures have in common.
// To be included after <cstdint>, <memory_resource>, <unordered_map> and <utility>.
#pragma once

namespace buffers::detail {

/// Larger blocks, of which only a damaged file tells, count as this: 4 TiB, less a byte.
inline constexpr std::uint64_t largest_block_followed = (std::uint64_t{1} << 42) - 1;

/// Follows the events of a trace. Of each live block it keeps a Block.
template <class Block>
class live_blocks {
 public:
  explicit live_blocks(std::pmr::memory_resource* memory) : live_(memory), moving_(memory) {}

  /// Calls come(e), which returns the Block, for one that comes, and go(block) for one that goes: where realloc has
  /// moved one, in this order, as there is no other way for a resource. What is live at an event is known after it, not
  /// in between. False when the event does not fit: a block goes that has not come, one comes or stays where one is, or
  /// a thread moves a second one meanwhile; go() is called of the one that is not followed any more.
  template <class Event, class Come, class Go>
  bool follow(const Event& e, Come come, Go go) {
    using operation = decltype(e.operation);
    switch (e.operation) {
      case operation::allocate: {
        const auto there = live_.find(e.address);
        const bool fits = there == live_.end();
        if (!fits) go(take(live_, there));
        live_.emplace(e.address, come(e));
        if (!moving_.empty())
          if (const auto from = moving_.find(e.thread); from != moving_.end()) go(take(moving_, from).second);
        return fits;
      }
      case operation::deallocate: {
        const auto there = live_.find(e.address);
        if (there == live_.end()) return false;
        go(take(live_, there));
        return true;
      }
      case operation::move: {
        const auto there = live_.find(e.address);
        if (there == live_.end()) return false;
        return put(moving_, e.thread, std::pair(e.address, take(live_, there)),
                   [&](const auto& old) { go(old.second); });
      }
      case operation::failed: {
        const auto from = moving_.find(e.thread);
        if (from == moving_.end()) return true;
        const auto [address, block] = take(moving_, from);
        return put(live_, address, block, go);  // it stays where it is
      }
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
  template <class Map>
  static auto take(Map& map, typename Map::iterator at) {
    auto value = std::move(at->second);
    map.erase(at);
    return value;
  }
  /// False when there is one already, of which go() is called.
  template <class Map, class Go>
  static bool put(Map& map, typename Map::key_type key, typename Map::mapped_type value, Go go) {
    const auto [there, is_new] = map.try_emplace(key, value);
    if (!is_new) go(std::exchange(there->second, value));
    return is_new;
  }

  std::pmr::unordered_map<std::uintptr_t, Block> live_;
  std::pmr::unordered_map<std::uint32_t, std::pair<std::uintptr_t, Block>> moving_;  // by thread
};

}  // namespace buffers::detail
