"""placeholder"""
from transformers import ZeroShotAudioClassificationPipeline as Stock
class ZeroShotAudioClassificationPipeline(Stock):
    pass
