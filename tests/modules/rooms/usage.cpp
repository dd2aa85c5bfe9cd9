import buffers.usage;

bool usage_alone() {
  buffers::meter_resource meter;
  void* const block = meter.allocate(8);
  const bool counted = meter.live() == 8;
  meter.deallocate(block, 8);
  return counted && meter.live() == 0 && meter.peak() == 8 &&
         buffers::peak_bytes([](auto& buffer) { (void)buffer.allocate(100, 16); }) == 100;
}
