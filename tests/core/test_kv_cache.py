from tuibench.core.run.kv_cache import KvCacheSize


def test_no_window_grows_with_every_token():
    assert KvCacheSize(bytes_per_token=7).at(1000) == 7000


def test_layers_with_a_window_stop_growing_and_states_never_grow():
    size = KvCacheSize(bytes_per_token=7, sliding_bytes_per_token=3, window=100, fixed_bytes=50)
    assert size.at(0) == 50
    assert size.at(50) == 50 * 10 + 50
    assert size.at(300) == 300 * 7 + 100 * 3 + 50
